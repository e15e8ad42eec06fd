"""The record of an end-to-end evaluation as tables."""

from collections.abc import Mapping
from typing import Any

from training.evaluate.tables import plain_table, print_tables, report_table


def show(result: Mapping[str, Any]) -> None:
    about = result["set"]
    title = (
        f"{about['queries']} queries over {about['dialogues']} dialogues of "
        f"{about['generator']}/{about['split']}, up to {result['top_k']} dialogues answered, micro"
    )
    systems = result["systems"]
    speed = [
        [
            name,
            one["first"]["joint"]["f1"],
            one["empty"],
            one["degraded"],
            one["latency_ms"]["p50"],
            one["latency_ms"]["p95"],
        ]
        for name, one in systems.items()
    ]
    less = [
        [name, d["difference"], d["low"], d["high"]] for name, d in result["differences"].items()
    ]
    parts = [
        [f"{fact}: {value}", numbers["queries"], *numbers["systems"].values()]
        for fact, values in result["by"].items()
        for value, numbers in values.items()
    ]
    print_tables(
        report_table(title, {name: one["micro"] for name, one in systems.items()}),
        plain_table(
            "beside it",
            ["", "joint F1 of the first", "empty", "degraded", "p50 ms", "p95 ms"],
            speed,
        ),
        plain_table("differences, joint F1", ["", "difference", "95% from", "to"], less),
        plain_table("joint F1, broken down", ["", "queries", *systems], parts),
    )
