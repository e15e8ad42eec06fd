"""A training loop that can be killed at any moment and ends with the same weights."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

import numpy as np
import torch
from torch import Tensor, nn

from training import checkpoint, processes
from training.ending import Stopped, StopRequest
from training.origin import Origin
from training.progress import Progress
from training.recipe import Optimiser


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step computed: the loss, numbers to show, and how many samples it saw."""

    loss: Tensor
    samples: int
    shown: dict[str, float] = field(default_factory=dict)


Evaluate = Callable[[], dict[str, float]]


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
    origin: Origin,
    evaluate: Evaluate | None = None,
    evaluate_steps: int = 0,
    checkpoint_seconds: float = 120.0,
) -> None:
    """Trains `module` until `settings.steps`, from the last checkpoint in `folder` if any.

    With several processes each computes a part of every step; gradients are averaged, so all hold
    the same weights, and the first one reports and saves.

    A step's data must depend on its number alone; then the step number is the data position, and
    the optimiser's state is all else that a resume needs. The libraries' own random numbers are
    seeded anew for every step, so dropout too depends on the step alone.

    Args:
        step_of: computes the loss of a step; must not touch gradients.
        evaluate: returns held-out numbers; the first of them is shown while the run goes on.

    Raises:
        Refused: the checkpoint is damaged, or another recipe's.
        Stopped: a signal came; the step in hand was finished and saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimiser = _optimiser(trained, settings)
    start = checkpoint.restore(folder, module, optimiser, origin, tells=processes.rank() == 0)
    if start >= settings.steps:
        return
    with StopRequest() as stop, exact(), ExitStack() as stack:
        report = None
        if processes.rank() == 0:
            progress = Progress(folder, start=start, steps=settings.steps)
            stack.enter_context(progress)
            report = _Report(
                progress, lambda done: checkpoint.save(folder, module, optimiser, done, origin),
                settings.steps, checkpoint_seconds,
            )  # fmt: skip
        for step in range(start, settings.steps):
            rate = learning_rate_at(step, settings)
            reseed(origin.seed, step)
            result = step_of(step)
            ends = _learn(result.loss, trained, optimiser, rate, asked_to_stop=stop.asked)
            if report:
                found = None
                report.step(step + 1, result, rate)
                if evaluate and (step + 1) % evaluate_steps == 0:
                    found = _evaluated(module, evaluate)
                report.after(step + 1, found, ends=ends)
            if ends:
                processes.wait_for_all()
                raise Stopped(stop.number or SIGTERM, stopped_after(step + 1, settings.steps))
        if stop.number is not None:  # it came when the last step was done
            raise Stopped(stop.number, stopped_after(settings.steps, settings.steps))


def _learn(
    loss: Tensor,
    trained: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    rate: float,
    *,
    asked_to_stop: bool,
) -> bool:
    """Takes one step against the mean gradient; returns whether any process was asked to stop."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    ends = processes.average(trained, asked_to_stop=asked_to_stop)
    nn.utils.clip_grad_norm_(trained, 1.0)
    optimiser.step()
    return ends


def stopped_after(done: int, steps: int) -> str:
    return f"stopped after step {done} of {steps}, which is saved; the same command goes on"


@dataclass(slots=True)
class _Report:
    """What the first process does beside training: it tells, saves and draws.

    Attributes:
        save: writes the checkpoint of a step.
    """

    progress: Progress
    save: Callable[[int], None]
    steps: int
    checkpoint_seconds: float
    saved_at: float = field(default_factory=time.monotonic)

    def step(self, done: int, result: StepResult, rate: float) -> None:
        samples = result.samples * processes.count()
        self.progress.step(done, result.loss.item(), samples, result.shown, rate)

    def after(self, done: int, validation: dict[str, float] | None, *, ends: bool) -> None:
        if validation is not None:
            self.progress.validation(done, validation)
        ends = ends or done == self.steps
        if ends or time.monotonic() - self.saved_at > self.checkpoint_seconds:
            self.progress.keep()
            self.save(done)
            self.saved_at = time.monotonic()
        if ends or validation is not None:
            self.progress.draw()


@contextmanager
def exact() -> Iterator[None]:
    """The same sums in the same order every time.

    Where several threads add into one place, as in the gradient of an indexed tensor, torch is
    faster without an order.
    """
    before = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, changes nothing
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fills


def reseed(seed: int, step: int) -> None:
    """Makes what the libraries draw in a step depend on its number alone."""
    number = random.Random(f"{seed}/{step}/{processes.rank()}").getrandbits(63)
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


def _optimiser(trained: list[nn.Parameter], settings: Optimiser) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [
            {"params": [w for w in trained if w.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [w for w in trained if w.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )


def _evaluated(module: nn.Module, evaluate: Evaluate) -> dict[str, float]:
    """Every part goes on in the mode it was in: a resumed run has not evaluated."""
    modes = [(part, part.training) for part in module.modules()]
    found = evaluate()
    for part, training in modes:
        part.training = training
    return found
