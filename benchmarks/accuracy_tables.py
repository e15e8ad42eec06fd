"""The records of `training.evaluate` as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import table

Record = Mapping[str, Any]


def fragment(result: Record) -> str:
    chosen = result["set"]
    name = ", ".join(sorted(result["models"].values())) or "the model"
    systems: dict[str, Record] = {f"**{name}**": result["model"], **result["baselines"]}
    rows = []
    for system, one in systems.items():
        micro, empty = one["micro"], one["emptiness"]
        less = result["model_less_baseline"].get(system)
        rows.append(
            [
                system,
                *(micro[part][score] for part in ("joint",) for score in ("f1", "mcc")),
                micro["utterance"]["f1"],
                micro["image"]["f1"],
                empty["right_when_empty"],
                empty["false_empty"],
                _interval(less),
            ]
        )
    headings = ["", "joint F1", "joint MCC", "utterance F1", "image F1"]
    headings += ["right when empty", "false empty", "model less this, 95%"]
    parts = [table(headings, rows), _broken_down(result["by"])]
    if form := _form(result["form"]):
        parts.append(form)
    times = result["latency_ms"]
    parts.append(
        f"{chosen['queries']} queries over {chosen['dialogues']} dialogues of "
        f"`{chosen['generator']}/{chosen['split']}`, SHA-256 `{chosen['sha256'][:16]}…`; "
        f"{result['degraded']} answers degraded; {times['p50']} ms (p50) and {times['p95']} ms "
        f"(p95) with {times['at_once']} at once."
    )
    return "\n\n".join(parts)


def split(result: Record) -> str:
    name = ", ".join(sorted(result["models"].values())) or "the model"
    systems: dict[str, Record] = {f"**{name}**": result["model"], **result["baselines"]}
    columns = ("precision", "recall", "f1", "f1_within_one_turn")
    rows = [
        [
            system,
            *(one[column] for column in columns),
            _interval(result["model_less_baseline"].get(system)),
        ]
        for system, one in systems.items()
    ]
    headings = ["", "precision", "recall", "boundary F1", "F1 within one turn"]
    return "\n\n".join(
        [
            table([*headings, "model less this, 95%"], rows),
            f"{result['set']['dialogues']} dialogues; {result['exactly_right']:.3f} of them split "
            "exactly as the gold.",
        ]
    )


def _broken_down(by: Record) -> str:
    columns = ("queries", "joint_f1", "baseline_joint_f1", "image_f1")
    shares = ("right_when_empty", "false_empty")
    rows = [
        [f"{fact}: {value}", *(numbers[column] for column in (*columns, *shares))]
        for fact, values in by.items()
        for value, numbers in values.items()
    ]
    headings = ["by", "queries", "joint F1", "BM25's", "image F1", "right when empty"]
    return table([*headings, "false empty"], rows)


def _form(form: Record | None) -> str:
    if not form or "why" in form:
        return ""
    rows = [
        [name, one["queries"], one["well_formed"], one["joint_f1"]] for name, one in form.items()
    ]
    return table(["the engine asked directly", "queries", "well formed", "joint F1"], rows)


def _interval(less: Record | None) -> str:
    if less is None:
        return ""
    return f"{less['difference']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]"
