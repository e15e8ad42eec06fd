"""What stands beside a published adapter on its card: baselines, the base alone, other seeds."""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev

from training.data.world.facts import Split
from training.evaluate import baselines, boundaries
from training.evaluate.cases import WorldCase, questions
from training.evaluate.fragment_metrics import emptiness, micro

Metrics = dict[str, float]
# Student's t at 97.5%, by the number of runs.
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


def rows(task: str, split: Split, count: int) -> dict[str, Metrics]:
    """The baselines' metrics on the first `count` prompts, tuned on validation."""
    return _fragment_rows(split, count) if task == "fragment" else _split_rows(split, count)


def _fragment_rows(split: Split, count: int) -> dict[str, Metrics]:
    asked = questions(split, count)
    found: dict[str, Metrics] = {}
    for baseline in baselines.tuned(questions("validation")):
        judged = [question.judge(baseline.predict(question)) for question in asked]
        report, empty = micro(judged), emptiness(judged)
        found[baseline.name] = {
            "joint_f1": report.joint.f1,
            "utterance_f1": report.utterance.f1,
            "image_f1": report.image.f1,
            "right_when_empty": empty.right_when_empty or 0.0,
            "false_empty": empty.false_empty or 0.0,
        }
    return found


def _split_rows(split: Split, count: int) -> dict[str, Metrics]:
    cases = _cases(split)[:count]
    return {
        splitter.name: {"boundary_f1": boundaries.total(boundaries.judge(splitter, cases)).f1}
        for splitter in boundaries.tuned(_cases("validation"))
    }


def _cases(split: Split) -> list[WorldCase]:
    """Each dialogue once, in order."""
    return list({question.case.world.id: question.case for question in questions(split)}.values())


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of runs with different seeds, and the half width of its 95% interval.

    Raises:
        ValueError: fewer than two runs, or more than five.
    """
    if len(values) not in _T:
        raise ValueError(f"an interval takes 2 to 5 runs, there are {len(values)}")
    return fmean(values), _T[len(values)] * stdev(values) / sqrt(len(values))


def table(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines of Markdown: a row for each system, a column for each metric of the first."""
    columns = list(next(iter(found.values()))) if found else []
    shown = [name for name in columns if name != "prompts"]
    lines = [
        "| | " + " | ".join(name.replace("_", " ") for name in shown) + " |",
        "|---|" + "---:|" * len(shown),
    ]
    for system, metrics in found.items():
        cells = (f"{metrics[name]:.3f}" if name in metrics else "–" for name in shown)
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return lines
