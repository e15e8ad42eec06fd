"""`colloquy`: the command line. A thin door: each command's work lies in the module it names."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

EVALUATIONS = ("fragment", "split", "f2rvlm", "retrieval", "corpus", "mbeir")
SCOPES = ("search", "answer", "classify", "index", "operator")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for a failure, 2 for a wrong call."""
    parsed, rest = _parser().parse_known_args(argv)
    if rest and not parsed.passes_on:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    if parsed.command == "search" and (wrong := _wrong_search(parsed)):
        _parser().error(wrong)
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
    _add_corpus(commands)
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
    _command(commands, "demo", "demo", "ask sample dialogues, index a sample corpus, search it")
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
    search = _command(commands, "search", "ask", "find the turns of dialogues that answer")
    search.add_argument("query", nargs="?", help="may be left out where there is `--image`")
    search.add_argument("--collection", metavar="NAME", help="where to search")
    search.add_argument("--image", type=Path, metavar="FILE", help="a picture to ask with")
    search.add_argument("--top-k", type=int, help="fragments at most")
    search.add_argument("--candidates", type=int, help="that retrieval proposes")
    search.add_argument(
        "--rerank",
        choices=("none", "pointwise", "listwise"),
        help="default: pointwise, where the profile has the task `rank`",
    )
    search.add_argument("--no-refine", action="store_true", help="whole fragments, not lines")
    search.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="`speaker`, `dialogue_id`, `after`, `before`, or metadata; `:=` for JSON; repeatable",
    )
    split = _command(commands, "split", "ask", "divide a dialogue into its topics")
    for command in (search, split):
        command.add_argument(
            "--dialogue",
            type=Path,
            required=command is split,
            metavar="FILE",
            help="JSON; its pictures may be paths, relative to the file",
        )
        command.add_argument("--timeout-ms", type=int, help="for the whole answer")
        command.add_argument("--json", action="store_true", help="the gateway's answer as it is")


def _wrong_search(parsed: argparse.Namespace) -> str | None:
    """What is wrong with a search that argparse alone cannot see."""
    if (parsed.dialogue is None) == (parsed.collection is None):
        return "search: give exactly one of --dialogue and --collection"
    if parsed.query is None and parsed.image is None:
        return "search: give a QUERY, --image or both"
    only = {
        "--image": parsed.image is not None,
        "--top-k": parsed.top_k is not None,
        "--candidates": parsed.candidates is not None,
        "--rerank": parsed.rerank is not None,
        "--filter": bool(parsed.filter),
        "--no-refine": parsed.no_refine,
    }
    given = [name for name, is_given in only.items() if is_given]
    if parsed.dialogue is not None and given:
        return f"search: {given[0]} belongs to a search in a --collection"
    return None


def _add_corpus(commands: "_Commands[argparse.ArgumentParser]") -> None:
    index = _command(commands, "index", "index", "put dialogues from files into a collection")
    index.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="NDJSON or JSON: ours, ms-swift's (MLDR), raw WeChat's; pictures by relative path",
    )
    index.add_argument("--collection", required=True, metavar="NAME", help="made if needed")
    index.add_argument("--json", action="store_true", help="the outcome as JSON")
    _add_collections(commands)
    jobs = _command(commands, "jobs", "corpus", "what is being indexed, deleted, erased")
    jobs.add_argument("id", nargs="?", help="one job, with its errors")
    jobs.add_argument("--collection", metavar="NAME", help="only its jobs")
    jobs.add_argument("--limit", type=int, default=20, help="the newest so many (20)")
    jobs.add_argument("-f", "--follow", action="store_true", help="wait for the job's end")
    jobs.add_argument("--cancel", action="store_true", help="what it has not begun is left undone")
    jobs.add_argument("--json", action="store_true")
    erase = _command(commands, "erase", "corpus", "erase a person's traces everywhere")
    erase.add_argument(
        "--speaker", metavar="NAME", help="the turns of this speaker, in every dialogue"
    )
    erase.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="the whole dialogues that have it; `:=` for JSON; repeatable, then all must hold",
    )
    erase.add_argument("--yes", action="store_true", help="do not ask")
    reindex = _command(
        commands, "reindex", "corpus", "embed collections again, with the models now"
    )
    reindex.add_argument("names", nargs="*", metavar="NAME")
    reindex.add_argument("--all", action="store_true", help="every collection")
    backup = _command(commands, "backup", "backup", "copy ledger, pictures and keys to a file")
    backup.add_argument("file", type=Path, metavar="FILE", help="a .tar; it holds secrets")
    restore = _command(commands, "restore", "backup", "put a backup into an empty state")
    restore.add_argument("file", type=Path, metavar="FILE")


def _add_collections(commands: "_Commands[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("collections", help="collections of the stack")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = _command(verbs, "list", "corpus", "the collections there are")
    listing.set_defaults(function="collections")
    listing.add_argument("--json", action="store_true")
    show = _command(verbs, "show", "corpus", "one collection with its spaces")
    show.add_argument("--json", action="store_true")
    create = _command(verbs, "create", "corpus", "make a collection")
    create.add_argument(
        "--space", action="append", help="repeatable; default: every one of the profile"
    )
    create.add_argument("--retention-days", type=int, help="unchanged dialogues go then")
    drop = _command(verbs, "drop", "corpus", "delete a collection with everything in it")
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for verb, name in ((show, "show"), (create, "create"), (drop, "drop")):
        verb.set_defaults(function=f"{name}_collection")
        verb.add_argument("name", metavar="NAME")


def _add_passed_on(commands: "_Commands[argparse.ArgumentParser]") -> None:
    evaluate = commands.add_parser("eval", help="measure on held-out data", add_help=False)
    evaluate.add_argument("what", choices=EVALUATIONS)
    evaluate.set_defaults(module="passed_on", function="evaluate", passes_on=True)
    train = commands.add_parser("train", help="run a training recipe", add_help=False)
    train.set_defaults(module="passed_on", function="train", passes_on=True)
    data = commands.add_parser("data", help="training files: check them")
    verbs = data.add_subparsers(dest="verb", required=True, metavar="VERB")
    check = verbs.add_parser("check", help="what is wrong in one, line by line", add_help=False)
    check.set_defaults(module="passed_on", function="check_data", passes_on=True)


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
