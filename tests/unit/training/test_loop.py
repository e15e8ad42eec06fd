"""A run that is cut and resumed ends with the same weights as one that is not."""

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from training import checkpoint, loop
from training.ending import Refused, Stopped
from training.origin import Origin
from training.recipe import Optimiser

STEPS = 8


class Cut(Exception):
    """Stands for a kill."""


def _module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1))


def _settings(steps: int) -> Optimiser:
    return Optimiser(learning_rate=0.01, warmup_steps=2, steps=steps)


def _run(
    folder: Path,
    *,
    cut_at: int | None = None,
    stop_at: int | None = None,
    steps: int = STEPS,
    saves: bool = True,
    **changed: Any,
) -> dict[str, torch.Tensor]:
    module = _module()

    def step_of(step: int) -> loop.StepResult:
        if step == cut_at:
            raise Cut
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        generator = torch.Generator().manual_seed(step)
        rows = torch.randn(16, 4, generator=generator)
        return loop.StepResult((module(rows) - rows.sum(1, keepdim=True)).pow(2).mean(), 16)

    def evaluate() -> dict[str, float]:
        module.eval()
        return {"weight": module[0].weight.sum().item(), "drawn": torch.rand(()).item()}

    loop.run(
        folder, module, _settings(steps), step_of,
        origin=Origin({"seed": 1, "optimiser.steps": steps} | changed),
        evaluate=evaluate, evaluate_steps=4, checkpoint_seconds=0.0 if saves else 1e9,
    )  # fmt: skip
    return module.state_dict()


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def _steps_of(folder: Path) -> list[int]:
    lines = (folder / "progress.jsonl").read_text().splitlines()
    return [record["step"] for record in map(json.loads, lines) if "loss" in record]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return _run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("cut_at", [1, 5, STEPS - 1])
def test_resume_after_a_cut_is_exact(
    tmp_path: Path, whole: dict[str, torch.Tensor], cut_at: int
) -> None:
    with pytest.raises(Cut):
        _run(tmp_path, cut_at=cut_at)
    assert _equal(_run(tmp_path), whole)
    assert _steps_of(tmp_path) == list(range(1, STEPS + 1))


def test_a_run_that_is_cut_before_it_saved_begins_again(
    tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(Cut):
        _run(tmp_path, cut_at=5, saves=False)
    assert _equal(_run(tmp_path), whole)


def test_a_signal_lets_the_step_end_and_saves_it(
    tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(Stopped, match="stopped after step 4 of 8, which is saved") as stopped:
        _run(tmp_path, stop_at=3, saves=False)
    assert stopped.value.exit_status == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert _equal(_run(tmp_path), whole)
    assert _steps_of(tmp_path) == list(range(1, STEPS + 1))


def test_a_run_that_has_ended_does_nothing_more(
    tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    _run(tmp_path)
    assert _equal(_run(tmp_path, cut_at=0), whole)


def test_an_older_checkpoint_stays_when_writing_is_cut(
    tmp_path: Path, whole: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(Cut):
        _run(tmp_path, cut_at=5)
    half = (tmp_path / checkpoint.CHECKPOINT).read_bytes()[:1_000]
    (tmp_path / f"{checkpoint.CHECKPOINT}.new").write_bytes(half)
    assert _equal(_run(tmp_path), whole)


def _cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _one_bit_other(content: bytes) -> bytes:
    weight = torch.load(io.BytesIO(content), weights_only=True)["module"]["0.weight"]
    place = content.index(weight.numpy().tobytes()) + 5
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("spoil", [_cut_off, _one_bit_other, lambda _: b"", lambda _: b"PK"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, spoil: Any) -> None:
    _run(tmp_path, steps=2)
    path = tmp_path / checkpoint.CHECKPOINT
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(Refused, match="is cut off or damaged; remove it to begin again"):
        _run(tmp_path)


def test_a_checkpoint_that_names_no_recipe_is_refused(tmp_path: Path) -> None:
    torch.save({"step": 1}, tmp_path / checkpoint.CHECKPOINT)
    with pytest.raises(Refused, match="does not say which recipe made it"):
        _run(tmp_path)


def test_steps_may_be_raised(tmp_path: Path) -> None:
    _run(tmp_path, steps=4)
    _run(tmp_path, steps=6)
    assert _steps_of(tmp_path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 2}, "optimiser.steps was 4 and is 2"),
        ({"rank": 3}, "rank was not there and is 3"),
        ({"seed": 2}, "seed was 1 and is 2"),
    ],
)
def test_another_recipe_is_refused(tmp_path: Path, changed: dict[str, int], said: str) -> None:
    _run(tmp_path, steps=4)
    with pytest.raises(Refused, match=f"was made by another recipe: {said}. Only steps may be"):
        _run(tmp_path, **({"steps": 4} | changed))  # type: ignore[arg-type]


def test_validations_and_dropout_are_those_of_a_run_without_a_break(tmp_path: Path) -> None:
    def validations(folder: Path) -> list[Any]:
        lines = (folder / "progress.jsonl").read_text().splitlines()
        return [record for record in map(json.loads, lines) if "validation" in record]

    _run(tmp_path / "whole")
    with pytest.raises(Cut):
        _run(tmp_path / "cut", cut_at=4)
    _run(tmp_path / "cut")
    assert validations(tmp_path / "cut") == validations(tmp_path / "whole")


def test_the_learning_rate_rises_then_falls() -> None:
    settings = _settings(STEPS)
    rates = [loop.learning_rate_at(step, settings) for step in range(STEPS)]
    assert rates.index(max(rates)) in (1, 2)
    assert rates[-1] < rates[3]
