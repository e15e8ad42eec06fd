"""Runs of training as processes that are killed, from a server that has loaded everything once."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import psutil

from tests.doubles import small_training
from tests.doubles.small_training import Small

PRELOADED = [
    "training.adapters",
    "training.curves",
    "torch.utils.tensorboard",
    "tests.doubles.training_runs",
]


def start_recipe(context: ForkServerContext, folder: Path, recipe: Path) -> ForkServerProcess:
    """`colloquy train recipe`, its runs in `folder`."""
    return _start(context, folder, recipe)


def start_small(context: ForkServerContext, small: Small) -> ForkServerProcess:
    return _start(context, small.folder, small)


def said(folder: Path) -> str:
    """What the runs in a folder said."""
    return (folder / "said").read_text(encoding="utf-8")[-4_000:]


def cut(process: ForkServerProcess, log: Path, *, after: int, number: int) -> int | None:
    """Sends a signal once a log has so many steps more; returns how the process ended."""
    wanted = len(steps_in(log)) + after
    wait_until(lambda: len(steps_in(log)) >= wanted or not process.is_alive())
    assert process.pid is not None
    if process.is_alive():
        os.kill(process.pid, number)
    process.join(60)
    wait_until(lambda: _nobody_left(process.pid))
    return process.exitcode


def steps_in(log: Path) -> list[int]:
    """The steps that a log has in their order, those that were made again too."""
    if not log.exists():
        return []
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            record = json.loads(line)
            if "loss" in record:
                found.append(record["step"])
    return found


def wait_until(is_so: Callable[[], bool], within_s: float = 90.0) -> None:
    give_up = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up, "it took too long"
        time.sleep(0.005)


def _start(context: ForkServerContext, folder: Path, what: Path | Small) -> ForkServerProcess:
    folder.mkdir(exist_ok=True)
    process = context.Process(target=_run, args=(folder, what))
    process.start()
    return process


def _run(folder: Path, what: Path | Small) -> None:
    os.setsid()
    # A shell ignores it for what it runs in the background, and a run keeps that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    from training import run

    sys.exit(small_training.run(what) if isinstance(what, Small) else run.main([str(what)]))


def _nobody_left(group: int | None) -> bool:
    """Whether all processes of a group have ended; whose child a zombie is does not matter."""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != "zombie":
                return False
    return True
