"""colloquy data check: every problem of a training file with its line, its field and the reason."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from colloquy.cli.show import counted
from training.data.check.checker import Checker
from training.data.check.formats import FORMATS
from training.data.check.pictures import Pictures
from training.data.check.problems import NotReadable, printable

WRONG_CALL = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 for a file without a problem, 1 for one with some, 2 for a wrong call."""
    args = _parser().parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return _check(args)
    except NotReadable as error:
        print(f"colloquy data check: {printable(str(args.file))}: {error}", file=sys.stderr)
        return WRONG_CALL
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colloquy data check",
        description="Checks a training file in one of the published formats.",
        epilog="formats: " + "; ".join(f"{name}, {one.about}" for name, one in FORMATS.items()),
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON, or JSON Lines")
    parser.add_argument("--format", choices=FORMATS, help="default: what the records look like")
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument(
        "--images", type=Path, metavar="DIR", help="where paths begin; default: the file's folder"
    )
    pictures.add_argument("--no-images", action="store_true", help="leave the images' files alone")
    parser.add_argument(
        "--limit", type=_count, default=100, metavar="N", help="problems to show (100)"
    )
    return parser


def _check(args: argparse.Namespace) -> int:
    with ExitStack() as stack:
        pictures = None
        if not args.no_images:
            folder = args.images or args.file.parent
            if not folder.is_dir():
                raise NotReadable(f"{printable(str(folder))} is not a folder")
            pictures = stack.enter_context(Pictures(folder))
        checker = Checker(args.file, format=args.format, pictures=pictures)
        count = 0
        for problem in checker.problems():
            count += 1
            if count <= args.limit:
                print(problem.shown(str(args.file)))
    print(_summary(checker, args.file, count, args.limit, checked=pictures is not None), flush=True)
    return 1 if count else 0


def _summary(checker: Checker, file: Path, count: int, limit: int, *, checked: bool) -> str:
    counts = checker.counts
    what = ", ".join(f"{number:,} {name}" for name, number in sorted(counts.what.items()))
    parts = [f"{counted(counts.records, 'record')}{f' ({what})' if what else ''}"]
    if counts.images:
        parts.append(f"{counted(counts.images, 'image')} {'' if checked else 'not '}checked")
    if counts.addresses:
        parts.append(f"{counted(counts.addresses, 'image')} at an address not fetched")
    if counts.has_carriage_returns:
        parts.append("lines end in CRLF, which JSON allows")
    if count:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in counts.problems.most_common())
        shown = f", the first {limit:,} shown" if count > limit else ""
        where = f" in {counted(counts.wrong, 'record')}" if counts.wrong else ""
        parts.append(f"{counted(count, 'problem')}{where} ({kinds}){shown}")
    else:
        parts.append("no problem")
    return (
        f"{printable(str(file), 1_000)}: {checker.format or 'no known format'}: {'; '.join(parts)}"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError("must be a number, 0 or more")
    return int(text)
