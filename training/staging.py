"""What is published replaces what was published when it is whole, and not before."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from training.recipe import PUBLISHED

SAMPLES = Path("samples/dialogues.json")
_STAGE = ".new"  # no task is called so


@contextmanager
def staged(out: Path, version: str, tasks: Sequence[str]) -> Iterator[Path]:
    """A folder to fill as `out`, in which the other tasks' checkpoints of that version are linked.

    At the end what was made there is moved to its place. Whatever goes wrong before leaves `out`
    as it was.
    """
    stage = out / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    for task in PUBLISHED:
        published = out / task / version
        if task not in tasks and published.is_dir():
            (stage / task).mkdir(parents=True)
            (stage / task / version).symlink_to(published.resolve())
    try:
        yield stage
        for task in tasks:
            _settle(stage / task / version, out / task / version)
        if (stage / SAMPLES).exists():
            _settle(stage / SAMPLES, out / SAMPLES)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _settle(made: Path, published: Path) -> None:
    published.parent.mkdir(parents=True, exist_ok=True)
    if published.is_dir():
        print(f"{published}: is replaced", file=sys.stderr, flush=True)
        published.rename(made.with_name("old"))
    made.replace(published)
