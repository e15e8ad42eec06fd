"""The record of an M-BEIR evaluation as a table."""

from collections.abc import Mapping
from typing import Any

from training.evaluate.tables import plain_table, print_tables

_KS = (1, 5, 10, 20, 50)


def show(result: Mapping[str, Any]) -> None:
    models = ", ".join(sorted(result["models"].values())) or "the stack"
    rows = []
    for name, task in result["tasks"].items():
        for pool in ("local", "global"):
            for step in ("retrieved", "reranked"):
                if pool in task and step in task[pool]:
                    scores = task[pool][step]
                    rows.append(
                        [
                            name,
                            pool,
                            step,
                            task["queries"],
                            task[pool]["candidates"],
                            *(scores.get(f"recall@{k}") for k in _KS),
                            task["headline"].removeprefix("recall"),
                        ]
                    )
    columns = ["", "pool", "step", "queries", "of", *(f"R@{k}" for k in _KS), "reported"]
    print_tables(plain_table(f"M-BEIR, {models}", columns, rows))
