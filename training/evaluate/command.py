"""What every evaluation on the running stack shares: its arguments, its errors, its output."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from colloquy.cli.failure import CommandFailed
from colloquy.profile import ProfileError
from training.data.world.facts import Split
from training.data.world.splits import GENERATOR, HashDiffers, committed
from training.evaluate.stack import CONCURRENCY, StackFailed

Result = Mapping[str, Any]


def parser(module: str, description: str, *, splits: bool = True) -> argparse.ArgumentParser:
    """The arguments that all evaluations have; `splits` where they are of our own held-out sets."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--profile", help="of the running stack: a file or a name")
    made.add_argument("--url", help="of the gateway; from the profile if left out")
    made.add_argument("--key", help="an API key, where the stack has keys")
    if splits:
        made.add_argument("--split", choices=("test", "validation", "shifted"), default="test")
    made.add_argument("--limit", type=positive, help="only the first so many")
    made.add_argument("--concurrency", type=positive, default=CONCURRENCY, help="at once")
    made.add_argument("--json", action="store_true", help="print JSON, not tables")
    made.add_argument("--output", type=Path, help="also write the JSON to a file")
    return made


def run(
    args: argparse.Namespace,
    evaluate: Callable[[argparse.Namespace], Awaitable[Result]],
    show: Callable[[Result], None],
) -> int:
    """Evaluates, prints and writes; an expected failure is one line and exit code 1."""

    async def evaluated() -> Result:
        return await evaluate(args)

    try:
        result = asyncio.run(evaluated())
        text = json.dumps(result, indent=2, ensure_ascii=False)
        if args.output:
            args.output.write_text(text + "\n", encoding="utf-8")
    except (ProfileError, CommandFailed, HashDiffers, StackFailed) as failure:
        print(f"evaluate: {failure}", file=sys.stderr)
        return 1
    except OSError as failure:
        print(f"evaluate: {args.output} cannot be written: {failure.strerror}", file=sys.stderr)
        return 1
    if args.json:
        print(text)
    else:
        show(result)
    return 0


def described(split: Split, limit: int | None, **sizes: int) -> dict[str, Any]:
    """Names the held-out set by generator, split and hash."""
    return {
        "generator": GENERATOR,
        "split": split,
        "sha256": committed(split),
        "limited": limit is not None,
        **sizes,
    }


def called(name: str, split: Split) -> str:
    """How to measure the same again."""
    chosen = "" if split == "test" else f" --split {split}"
    return f"python -m training.evaluate.{name}{chosen}"


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
