"""A run small enough to be killed often.

It has all that could differ after a resume: dropout, Adam's moments, a schedule, data of each step
and process, validations that draw random numbers and leave the module in another mode.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training import loop, processes
from training.origin import Origin
from training.recipe import Optimiser
from training.run import exit_status_of

STEPS = 100


@dataclass(frozen=True, slots=True)
class Small:
    folder: Path
    processes: int = 1
    start_method: str = "fork"
    checkpoint_seconds: float = 0.1
    step_seconds: float = 0.01


def run(small: Small) -> int:
    """Trains as a recipe does; returns the exit status."""
    how = small.start_method
    return exit_status_of(
        lambda: processes.together(train, small, small.processes, start_method=how), "small"
    )


def train(small: Small) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Dropout(0.3), nn.Linear(24, 1))

    def step_of(step: int) -> loop.StepResult:
        time.sleep(small.step_seconds)
        rng = random.Random(f"{step}/{processes.rank()}")
        rows = torch.tensor([[rng.gauss(0, 1) for _ in range(6)] for _ in range(8)])
        loss = (module(rows) - rows.sum(1, keepdim=True)).pow(2).mean()
        return loop.StepResult(loss, len(rows), {"drawn": torch.rand(()).item()})

    def evaluate() -> dict[str, float]:
        module.eval()
        return {"weight": module[0].weight.sum().item(), "drawn": torch.rand(()).item()}

    loop.run(
        small.folder, module, Optimiser(learning_rate=0.01, warmup_steps=3, steps=STEPS), step_of,
        origin=Origin({"seed": 3, "optimiser.steps": STEPS}),
        evaluate=evaluate, evaluate_steps=40, checkpoint_seconds=small.checkpoint_seconds,
    )  # fmt: skip
