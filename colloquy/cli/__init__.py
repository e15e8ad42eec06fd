"""`colloquy`: the command line. A thin door: each command's work lies in the module it names."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

SCOPES = ("search", "answer", "classify", "index", "operator")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for a failure, 2 for a wrong call."""
    parsed, rest = _parser().parse_known_args(argv)
    if rest and not parsed.passes_on:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    parsed.rest = rest
    return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    """Each command imports what it needs, so that `--help` is there at once."""
    from colloquy.cli.failure import EXPECTED

    module = importlib.import_module(f"colloquy.cli.{parsed.module}")
    try:
        status: int = getattr(module, parsed.function)(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED as failure:
        sys.stderr.write(f"colloquy {parsed.command}: {failure}\n")
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colloquy",
        description="Finds, in conversations that mix text and images, what answers a question.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_stack(commands)
    _add_keys(commands)
    _add_questions(commands)
    _add_passed_on(commands)
    return parser


_Commands = argparse._SubParsersAction  # the type has no public name


def _add_stack(commands: "_Commands[argparse.ArgumentParser]") -> None:
    up = _command(commands, "up", "stack", "start the stack of a profile")
    up.add_argument("--foreground", action="store_true", help="stay, and end it with Ctrl-C")
    _command(commands, "down", "stack", "end the stack")
    status = _command(commands, "status", "stack", "what runs, since when, and what it lacks")
    status.add_argument("--json", action="store_true")
    logs = _command(commands, "logs", "stack", "what the processes say")
    logs.add_argument("child", nargs="?", help="one process; all of them if left out")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is new")
    logs.add_argument("-n", "--lines", type=int, default=40, help="of each process")
    _command(commands, "demo", "demo", "ask three questions of the sample dialogues")
    doctor = _command(commands, "doctor", "doctor", "check a profile and this machine")
    doctor.add_argument("--json", action="store_true")


def _add_keys(commands: "_Commands[argparse.ArgumentParser]") -> None:
    keys = commands.add_parser("keys", help="API keys of the stack")
    verbs = keys.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = _command(verbs, "create", "keys", "make a key and print it, this once")
    create.add_argument("--tenant", help="whose data it opens; an operator's key has none")
    create.add_argument(
        "--scope", action="append", choices=SCOPES, help="what it allows; may be repeated"
    )
    create.add_argument("--label", default="", help="to tell keys apart")
    listing = _command(verbs, "list", "keys", "the keys there are, without their secrets")
    listing.set_defaults(function="list_keys")
    listing.add_argument("--json", action="store_true")
    revoke = _command(verbs, "revoke", "keys", "end a key at once")
    revoke.add_argument("id", help="as `colloquy keys list` shows it")


def _add_questions(commands: "_Commands[argparse.ArgumentParser]") -> None:
    search = _command(commands, "search", "ask", "find the turns of a dialogue that answer")
    search.add_argument("query")
    split = _command(commands, "split", "ask", "divide a dialogue into its topics")
    for command in (search, split):
        command.add_argument(
            "--dialogue",
            type=Path,
            required=True,
            metavar="FILE",
            help="JSON; its pictures may be paths, relative to the file",
        )
        command.add_argument("--timeout-ms", type=int)
        command.add_argument("--json", action="store_true", help="the gateway's answer as it is")


def _add_passed_on(commands: "_Commands[argparse.ArgumentParser]") -> None:
    evaluate = commands.add_parser("eval", help="measure on held-out data", add_help=False)
    evaluate.add_argument("what", choices=("fragment", "split", "f2rvlm"))
    evaluate.set_defaults(module="passed_on", function="evaluate", passes_on=True)
    train = commands.add_parser("train", help="run a training recipe", add_help=False)
    train.set_defaults(module="passed_on", function="train", passes_on=True)


def _command(
    commands: "_Commands[argparse.ArgumentParser]", name: str, module: str, about: str
) -> argparse.ArgumentParser:
    """A command whose work is the function of the same name in `colloquy.cli.<module>`."""
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument(
        "--profile", help="a file, or the name of one in `profiles/`; else COLLOQUY_PROFILE"
    )
    parser.set_defaults(module=module, function=name, passes_on=False)
    return parser
