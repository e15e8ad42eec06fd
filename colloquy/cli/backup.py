"""backup, restore."""

from argparse import Namespace

from rich.console import Console

from colloquy.cli.failure import CommandFailed
from colloquy.cli.profiles import stack_of
from colloquy.local import archive
from colloquy.local.archive import ArchiveFailed, Counts


def backup(arguments: Namespace) -> int:
    """A copy of one moment, also while the stack is up."""
    stack = stack_of(arguments)
    try:
        counts = archive.backup(stack.profile, arguments.file)
    except ArchiveFailed as failure:
        raise CommandFailed(str(failure)) from failure
    except OSError as error:
        raise CommandFailed(f"{arguments.file}: {error.strerror}") from error
    _tell(str(arguments.file), counts)
    Console().print("It holds secrets: keep it as you keep the keys.")
    return 0


def restore(arguments: Namespace) -> int:
    stack = stack_of(arguments)
    if stack.state() is not None:
        raise CommandFailed("the stack is up; `colloquy down` first")
    try:
        counts = archive.restore(stack.profile, arguments.file)
    except ArchiveFailed as failure:
        raise CommandFailed(str(failure)) from failure
    except OSError as error:
        raise CommandFailed(f"{arguments.file}: {error.strerror}") from error
    _tell("restored", counts)
    Console().print("Next: `colloquy up`, then `colloquy reindex --all` makes the vectors anew.")
    return 0


def _tell(what: str, counts: Counts) -> None:
    size = f"{counts.bytes / 2**20:.1f} MiB"
    words = f"databases: {counts.databases}, pictures: {counts.pictures}, {size}"
    Console().print(f"{what}: {words}", highlight=False, soft_wrap=True)
