"""A run that is cut and resumed ends with the same weights as one that is not."""

from pathlib import Path

import torch
from torch import nn

from training import loop
from training.recipe import Optimiser

SETTINGS = Optimiser(learning_rate=0.01, warmup_steps=2, steps=8)


class Cut(Exception):
    """Stands for a kill."""


def _module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def _run(folder: Path, cut_at: int | None = None) -> dict[str, torch.Tensor]:
    module = _module()

    def step_of(step: int) -> loop.StepResult:
        if step == cut_at:
            raise Cut
        generator = torch.Generator().manual_seed(step)
        rows = torch.randn(16, 4, generator=generator)
        return loop.StepResult((module(rows) - rows.sum(1, keepdim=True)).pow(2).mean(), 16)

    loop.run(folder, module, SETTINGS, step_of, checkpoint_seconds=0.0)
    return module.state_dict()


def test_resume_after_a_cut_is_exact(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    try:
        _run(tmp_path / "cut", cut_at=5)
    except Cut:
        resumed = _run(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [loop.learning_rate_at(step, SETTINGS) for step in range(SETTINGS.steps)]
    assert rates.index(max(rates)) in (1, 2)
    assert rates[-1] < rates[3]
