"""The record of a fragment evaluation as tables."""

from collections.abc import Mapping
from typing import Any

from training.evaluate.tables import plain_table, print_tables, report_table

_COLUMNS = (
    "queries",
    "joint_f1",
    "utterance_f1",
    "image_f1",
    "right_when_empty",
    "false_empty",
    "baseline_joint_f1",
)


def show(result: Mapping[str, Any]) -> None:
    chosen = result["set"]
    models = ", ".join(sorted(result["models"].values())) or "the stack"
    title = f"{models} on {chosen['queries']} queries of {chosen['generator']}/{chosen['split']}"
    systems = {models: result["model"]} | result["baselines"]
    empty = [
        [name, one["emptiness"]["right_when_empty"], one["emptiness"]["false_empty"]]
        for name, one in systems.items()
    ]
    less = [
        [name, d["difference"], d["low"], d["high"]]
        for name, d in result["model_less_baseline"].items()
    ]
    parts = [
        [f"{fact}: {value}", *(numbers[column] for column in _COLUMNS)]
        for fact, values in result["by"].items()
        for value, numbers in values.items()
    ]
    headings = ["", *(column.replace("_", " ") for column in _COLUMNS)]
    print_tables(
        report_table(f"{title}, micro", {name: one["micro"] for name, one in systems.items()}),
        plain_table("empty answers", ["", "right when empty", "false empty"], empty),
        plain_table("model less baseline, joint F1", ["", "difference", "95% from", "to"], less),
        plain_table("broken down; the baseline is the first", headings, parts),
        *_form(result["form"]),
    )


def _form(form: Mapping[str, Any] | None) -> list[Any]:
    if form is None:
        return []
    if "why" in form:
        return [f"form: {form['why']}"]
    rows = [[name, *one.values()] for name, one in form.items()]
    return [plain_table("form", ["", "queries", "well formed", "joint F1"], rows)]
