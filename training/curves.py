"""Draws a run's loss, learning rate and validations from its log, as `curves.png` beside it.

python -m training.curves training/runs/vision
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from training import whole
from training.progress import PROGRESS

CURVES = "curves.png"
_SPAN = 50  # of all steps: over how large a part the smooth line looks back
_LEGEND_ROWS = 8
COUNTS = {"prompts"}  # would press every share onto the axis


@dataclass(slots=True)
class Curves:
    """What a log tells; each step once, as it was written last.

    Attributes:
        validations: for each metric its values by step.
    """

    losses: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    validations: dict[str, dict[int, float]] = field(default_factory=dict)


def read(folder: Path) -> Curves:
    """Reads a run's log. With a step that comes again, all that was written of later ones goes."""
    found = Curves()
    steps: dict[int, dict[str, Any]] = {}
    checks: dict[int, dict[str, Any]] = {}
    with (folder / PROGRESS).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            record = _record(line)
            if record is None:
                continue
            step = record["step"]
            if "validation" in record:
                _drop(checks, step)
                checks[step] = record
            else:
                if _drop(steps, step):
                    _drop(checks, step)
                steps[step] = record
    for step, record in steps.items():
        for name, values in (("loss", found.losses), ("learning_rate", found.rates)):
            if (value := _value(record.get(name))) is not None:
                values[step] = value
    for step, record in checks.items():
        for name, value in record["validation"].items():
            if name in COUNTS:
                continue
            if (number := _value(value)) is not None:
                found.validations.setdefault(str(name), {})[step] = number
    return found


def smoothed(values: Sequence[float], span: int) -> list[float]:
    """The mean of what came before, weights falling by 1/e over `span` values."""
    keep = math.exp(-1 / max(span, 1))
    total = weight = 0.0
    means = []
    for value in values:
        total = total * keep + value
        weight = weight * keep + 1.0
        means.append(total / weight)
    return means


def draw(folder: Path) -> Path:
    """Draws the log of a run; the picture is replaced as a whole."""
    found = read(folder)
    figure = Figure(figsize=(8, 9), layout="constrained")
    loss, checks, rate = figure.subplots(3, sharex=True, height_ratios=(3, 3, 1))
    steps, losses = list(found.losses), list(found.losses.values())
    loss.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8, label="each step")
    smooth = smoothed(losses, len(losses) // _SPAN)
    loss.plot(steps, smooth, color="tab:blue", label="smoothed")
    loss.set(ylabel="loss")
    loss.legend(frameon=False)
    for name, values in found.validations.items():
        checks.plot(list(values), list(values.values()), marker="o", markersize=4, label=name)
    checks.set(ylabel="validation")
    if found.validations:
        columns = -(-len(found.validations) // _LEGEND_ROWS)
        checks.legend(frameon=False, fontsize="small", ncols=columns)
    else:
        checks.text(0.5, 0.5, "no validation yet", transform=checks.transAxes, ha="center")
    rate.plot(list(found.rates), list(found.rates.values()), color="tab:gray")
    rate.set(ylabel="learning rate", xlabel="step")
    for axes in (loss, checks, rate):
        axes.grid(visible=True, alpha=0.3)
    path = folder / CURVES
    whole.write_file(
        path,
        lambda file: figure.savefig(file, format="png", dpi=110, metadata={"Software": None}),
    )
    return path


def _record(line: str) -> dict[str, Any] | None:
    """A record of the log; None for what a kill cut off."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        return None
    if "validation" in record and not isinstance(record["validation"], dict):
        return None
    return record


def _drop(records: dict[int, dict[str, Any]], first: int) -> bool:
    """Takes the records of `first` and later steps out, of records in order of their steps."""
    before = len(records)
    while records and next(reversed(records)) >= first:
        records.popitem()
    return len(records) < before


def _value(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.curves", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("run", type=Path, help="a run's folder; one of stages has a log in each")
    run = parser.parse_args(argv).run
    folders = [
        path.parent
        for path in (run / PROGRESS, *sorted(run.glob(f"*/{PROGRESS}")))
        if path.is_file()
    ]
    if not folders:
        print(f"curves: {run} holds no {PROGRESS}", file=sys.stderr)
        return 2
    for folder in folders:
        print(draw(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
