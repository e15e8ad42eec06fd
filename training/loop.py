"""A training loop that can be killed at any moment and ends with the same weights."""

import ctypes
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn

from training.recipe import Optimiser

CHECKPOINT = "checkpoint.pt"
PR_SET_PDEATHSIG = 1  # of Linux's prctl

Recipe = TypeVar("Recipe")


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step computed: the loss, numbers to show, and how many samples it saw."""

    loss: Tensor
    samples: int
    shown: dict[str, float] = field(default_factory=dict)


def learning_rate_at(step: int, optimiser: Optimiser) -> float:
    """Warm-up, then a straight line down to `final_share` of the peak."""
    if step < optimiser.warmup_steps:
        return optimiser.learning_rate * (step + 1) / optimiser.warmup_steps
    done = (step - optimiser.warmup_steps) / max(1, optimiser.steps - optimiser.warmup_steps)
    return optimiser.learning_rate * (1 - (1 - optimiser.final_share) * done)


def run(
    folder: Path,
    module: nn.Module,
    settings: Optimiser,
    step_of: Callable[[int], StepResult],
    *,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_steps: int = 0,
    checkpoint_seconds: float = 120.0,
) -> None:
    """Trains `module` until `settings.steps`, from the last checkpoint in `folder` if any.

    With several processes each computes a part of every step; gradients are averaged, so all hold
    the same weights, and the first one reports and saves.

    A step's data must depend on its number alone; then the step number is the data position, and
    the optimiser's state is all else that a resume needs.

    Args:
        step_of: computes the loss of a step; must not touch gradients.
        evaluate: returns held-out numbers; must leave the module in training mode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [w for w in trained if w.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [w for w in trained if w.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    start = _restore(folder, module, optimiser)
    reports = rank() == 0
    saved = shown = began = time.monotonic()
    samples = 0
    for step in range(start, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        result = step_of(step)
        optimiser.zero_grad(set_to_none=True)
        result.loss.backward()
        _average(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        samples += result.samples * processes()
        now = time.monotonic()
        if reports and (now - shown > 10 or step + 1 == settings.steps):
            shown = now
            _show(folder, step + 1, settings.steps, step + 1 - start, samples, now - began, result)
        if reports and evaluate and (step + 1) % evaluate_steps == 0:
            log(folder, {"step": step + 1, "validation": evaluate()})
        if reports and (now - saved > checkpoint_seconds or step + 1 == settings.steps):
            _save(folder, module, optimiser, step + 1)
            saved = time.monotonic()


def together(train: Callable[[Recipe], None], recipe: Recipe, processes: int) -> None:
    """Trains in several processes that average their gradients once a step.

    One thread a process: where other work shares the cores, processes that meet once a step lose
    far less than threads that meet in every operation.
    """
    if processes == 1:
        train(recipe)
        return
    with tempfile.TemporaryDirectory() as meeting:
        arguments = (train, recipe, processes, f"file://{meeting}/store")
        multiprocessing.spawn(_worker, arguments, nprocs=processes)


def _worker(
    number: int, train: Callable[[Recipe], None], recipe: Recipe, processes: int, store: str
) -> None:
    # A worker must not outlive a killed parent: two runs would write one checkpoint.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    cores = os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // processes))
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=processes)
    train(recipe)
    dist.destroy_process_group()


def rank() -> int:
    """This process's number among those that train together."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def _average(trained: list[nn.Parameter]) -> None:
    """Gives every process the mean gradient, in one exchange."""
    if processes() == 1:
        return
    taught = [weight for weight in trained if weight.requires_grad]
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in taught]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes()
    pieces = flat.split([weight.numel() for weight in taught])
    for weight, piece in zip(taught, pieces, strict=True):
        weight.grad = piece.view_as(weight)


def _show(
    folder: Path, step: int, steps: int, done: int, samples: int, seconds: float, result: StepResult
) -> None:
    log(
        folder,
        {
            "step": step,
            "loss": round(result.loss.item(), 4),
            **{name: round(value, 4) for name, value in result.shown.items()},
            "samples_per_s": round(samples / seconds, 1),
            "eta_s": round(seconds / done * (steps - step)),
        },
    )


def log(folder: Path, record: dict[str, object]) -> None:
    """Prints a line of progress and appends it to the run's `progress.jsonl`."""
    line = json.dumps(record)
    print(line, flush=True)
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as progress:
        progress.write(line + "\n")


def _save(folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Replaces the checkpoint in one move, so a kill leaves the old one or the new one."""
    state = {"module": module.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    fresh = folder / f"{CHECKPOINT}.new"
    torch.save(state, fresh)
    os.replace(fresh, folder / CHECKPOINT)


def _restore(folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
