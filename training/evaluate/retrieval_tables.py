"""The record of a retrieval evaluation as tables."""

from collections.abc import Mapping
from typing import Any

from training.evaluate.tables import plain_table, print_tables

_RECALLS = ("recall@1", "recall@5", "recall@10", "recall@20")


def show(result: Mapping[str, Any]) -> None:
    about = result["set"]
    title = (
        f"{about['queries']} queries over {about['dialogues']} dialogues of "
        f"{about['generator']}/{about['split']}; a hit holds half of a gold fragment"
    )
    systems = result["systems"]
    quality = [
        [
            name,
            *(one["half"][recall] for recall in _RECALLS),
            one["alike"]["recall@1"],
            one["latency_ms"]["p50"],
            one["latency_ms"]["p95"],
            one["degraded"],
        ]
        for name, one in systems.items()
    ]
    less = [
        [name, recall, d["difference"], d["low"], d["high"]]
        for name, one in result["differences"].items()
        for recall, d in one.items()
    ]
    parts = [
        [f"{fact}: {value}", numbers["queries"]]
        + [numbers["systems"][name]["recall@1"] for name in systems]
        for fact, values in result["by"].items()
        for value, numbers in values.items()
    ]
    columns = ["", *_RECALLS, "IoU ≥ ½ @1", "p50 ms", "p95 ms", "degraded"]
    print_tables(
        plain_table(title, columns, quality),
        plain_table("differences", ["", "", "difference", "95% from", "to"], less),
        plain_table("recall@1, broken down", ["", "queries", *systems], parts),
    )
