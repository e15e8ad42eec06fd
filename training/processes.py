"""Several processes that train together and meet once a step."""

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, start_processes
from transformers.utils import logging

from training.ending import NOTHING_NEW, Refused, Stopped, StopRequest

PR_SET_PDEATHSIG = 1  # of Linux's prctl
_REFUSED_STATUS = 2
_LOOK_S = 0.2
_GRACE_S = 30.0

Recipe = TypeVar("Recipe")


def together(
    train: Callable[[Recipe], None], recipe: Recipe, number: int, *, start_method: str = "spawn"
) -> None:
    """Trains in several processes that average their gradients once a step.

    One thread a process: where other work shares the cores, processes that meet once a step lose
    far less than threads that meet in every operation.

    Args:
        start_method: multiprocessing's; `fork` is sooner, where this process has no threads.

    Raises:
        Refused, Stopped: as `train` did in one of them.
    """
    if number == 1:
        train(recipe)
        return
    with tempfile.TemporaryDirectory() as meeting, StopRequest() as stop:
        # Ctrl-C reaches every process of a terminal; this one passes it on when they can take it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            started = start_processes(
                _worker,
                (train, recipe, number, meeting),
                nprocs=number,
                join=False,
                start_method=start_method,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            _wait(started, stop)
        except ProcessExitedException as ended:
            said = Path(meeting, "said")
            text = said.read_text(encoding="utf-8") if said.exists() else NOTHING_NEW
            if stop.number is not None:
                raise Stopped(stop.number, text) from None
            if ended.exit_code == _REFUSED_STATUS and said.exists():
                raise Refused(text) from None
            raise
        except Stopped:
            for process in started.processes:
                process.kill()
            raise


def rank() -> int:
    """This process's number among those that train together."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(trained: list[nn.Parameter], *, asked_to_stop: bool) -> bool:
    """Gives every process the mean gradient, in one exchange.

    Returns:
        Whether any of them was asked to stop; all learn it at the same step.
    """
    if count() == 1:
        return asked_to_stop
    taught = [weight for weight in trained if weight.requires_grad]
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in taught]
    asked = torch.tensor([float(asked_to_stop)])
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), asked])
    dist.all_reduce(flat)
    ends = bool(flat[-1] > 0)
    flat = flat[:-1] / count()
    pieces = flat.split([weight.numel() for weight in taught])
    for weight, piece in zip(taught, pieces, strict=True):
        weight.grad = piece.view_as(weight)
    return ends


def agree(module: nn.Module) -> None:
    """Gives every process the weights of the first."""
    if dist.is_initialized():
        for weight in module.parameters():
            dist.broadcast(weight.data, 0)


def wait_for_all() -> None:
    """Until the first process has saved: whoever ends sooner takes the others with it."""
    if dist.is_initialized():
        dist.barrier()


def _wait(started: Any, stop: StopRequest) -> None:
    passed_on = False
    while not started.join(timeout=_LOOK_S, grace_period=_GRACE_S):
        if stop.asked and not passed_on:
            passed_on = True
            for process in started.processes:
                if process.is_alive():
                    os.kill(process.pid, signal.SIGTERM)


def _worker(
    number: int, train: Callable[[Recipe], None], recipe: Recipe, of: int, meeting: str
) -> None:
    # A worker must not outlive a killed parent: two runs would write one checkpoint.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    cores = os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // of))
    # Each process would draw bars, and `_exit` below leave the lock behind that they share.
    logging.disable_progress_bar()
    store = f"file://{meeting}/store"
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=of)
    status = 0
    try:
        train(recipe)
    except (Refused, Stopped) as end:
        # All say the same, and the parent reads it once it is whole.
        fresh = Path(meeting, f"said.{number}")
        fresh.write_text(str(end), encoding="utf-8")
        fresh.replace(Path(meeting, "said"))
        status = end.exit_status if isinstance(end, Stopped) else _REFUSED_STATUS
    dist.destroy_process_group()
    # Not the interpreter's own end: a thread of gloo's that waits for it then would abort it.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.flush()
    os._exit(status)
