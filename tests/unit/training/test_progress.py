"""A run's numbers: in the log, in TensorBoard's files, in the picture, on a terminal."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training import curves, processes, watching
from training.progress import Progress
from training.watching import Bar, Lines


def _take(folder: Path, first: int, last: int, *, add: float = 0.0) -> None:
    """Steps `first` to `last` of 20, each tenth validated."""
    with Progress(folder, start=first - 1, steps=20, shown=Lines(io.StringIO(), 20)) as progress:
        for step in range(first, last + 1):
            progress.step(step, 1 / step + add, 4, {"right": step / 20}, 0.1)
            if step % 10 == 0:
                progress.validation(step, {"f1": step / 20 + add})


def _scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(tag)]


def test_every_scalar_of_the_log_is_in_the_event_files(tmp_path: Path) -> None:
    _take(tmp_path, 1, 20)
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    names = [name for name in steps[0] if name != "step"]
    assert {"loss", "right", "learning_rate", "samples_per_s", "eta_s"} == set(names)
    for name in ("loss", "right", "learning_rate"):
        assert _scalars(tmp_path, f"train/{name}") == [(line["step"], line[name]) for line in steps]
    for name in ("samples_per_s", "eta_s"):
        assert len(_scalars(tmp_path, f"train/{name}")) == 20
    assert _scalars(tmp_path, "validation/f1") == [(10, 0.5), (20, 1.0)]


def test_a_resumed_run_has_no_step_twice(tmp_path: Path) -> None:
    _take(tmp_path, 1, 12)
    _take(tmp_path, 9, 20, add=1.0)  # the checkpoint was of step 8
    wanted = {step: round(1 / step + (step > 8), 4) for step in range(1, 21)}
    assert dict(_scalars(tmp_path, "train/loss")) == wanted
    assert len(_scalars(tmp_path, "train/loss")) == 20
    assert _scalars(tmp_path, "validation/f1") == [(10, 1.5), (20, 2.0)]
    found = curves.read(tmp_path)
    assert found.losses == wanted
    assert found.validations == {"f1": {10: 1.5, 20: 2.0}}


def test_curves_of_a_log_that_was_cut_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _take(tmp_path, 1, 5)
    with (tmp_path / "progress.jsonl").open("a") as log:
        log.write('null\n{"step": "x"}\n{"step": 6, "loss": null}\n{"step": 7, "lo')
    assert list(curves.read(tmp_path).losses) == [1, 2, 3, 4, 5]
    assert curves.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'curves.png'}\n"
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 500
    _take(tmp_path, 6, 8)
    assert list(curves.read(tmp_path).losses) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_run_of_stages_has_a_picture_in_each(tmp_path: Path) -> None:
    _take(tmp_path / "read", 1, 2)
    _take(tmp_path / "judge", 1, 2)
    assert curves.main([str(tmp_path)]) == 0
    assert sorted(path.parent.name for path in tmp_path.rglob("curves.png")) == ["judge", "read"]


def test_a_folder_without_a_log_is_a_wrong_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curves.main([str(tmp_path)]) == 2
    assert "holds no progress.jsonl" in capsys.readouterr().err


def test_the_smooth_line_is_a_mean_of_what_came_before() -> None:
    assert curves.smoothed([2.0] * 5, 3) == pytest.approx([2.0] * 5)
    rising = curves.smoothed([0.0, 1.0, 2.0, 3.0], 2)
    assert rising == sorted(rising)
    assert rising[-1] < 3.0


def _record(step: int) -> dict[str, Any]:
    return {"step": step, "loss": 0.25, "samples_per_s": 12.5, "eta_s": 3_725}


def test_a_log_gets_a_line_every_ten_seconds_and_the_last_step() -> None:
    now = 0.0
    out = io.StringIO()
    lines = Lines(out, 5, clock=lambda: now)
    for step in range(1, 6):
        now += 4.0
        lines.step(_record(step))
    lines.validation({"step": 5, "validation": {"f1": 1.0}})
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["step"] for line in told] == [3, 5, 5]
    assert told[-1]["validation"] == {"f1": 1.0}


def test_a_terminal_has_one_line_with_all_that_matters() -> None:
    out = io.StringIO()
    bar = Bar("smoke-vision", Console(file=out, force_terminal=True, width=140), start=0, steps=9)
    bar.begin()
    bar.step(_record(1))
    bar.validation({"step": 1, "validation": {"f1": 0.5, "mcc": 0.1}})
    bar.step(_record(2))
    bar.end()
    last = out.getvalue().rstrip().splitlines()[-2]
    assert "smoke-vision" in last
    assert "2/9" in last
    assert "loss 0.2500  validation f1 0.5000  12.5 samples/s  1:02:05 left" in last


def test_a_loss_that_is_no_number_is_null_in_the_log(tmp_path: Path) -> None:
    with Progress(tmp_path, start=0, steps=2, shown=Lines(io.StringIO(), 2)) as progress:
        progress.step(1, float("nan"), 1, {"right": float("inf")}, 0.1)
    record = json.loads((tmp_path / "progress.jsonl").read_text())
    assert record["loss"] is None
    assert record["right"] is None


def test_what_is_made_before_the_first_step_is_passed_on_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0

    def parts() -> Iterator[str]:
        nonlocal now
        for part in "abcd":
            now += 6.0
            yield part

    assert list(watching.prepared(parts(), 4, clock=lambda: now)) == list("abcd")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["prepared"] for record in told] == [0, 2, 4]
    monkeypatch.setattr(processes, "rank", lambda: 1)
    assert list(watching.prepared(parts(), 4, clock=lambda: now)) == list("abcd")
    assert capsys.readouterr().out == "", "one process speaks for all"


def test_a_run_that_nobody_listens_to_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it when it is closed
    assert list(watching.prepared("ab", 2)) == ["a", "b"]
    watching.watcher("x", start=0, steps=1).validation({"step": 1})

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Lines(Broken(), 1).step({"step": 1})
