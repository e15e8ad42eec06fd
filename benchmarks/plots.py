"""The pictures of `docs/benchmarks.md`, drawn from its records.

python -m benchmarks.plots
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt  # the backend comes first

from benchmarks.tables import CHECKOUT, RESULTS

IMAGES = CHECKOUT / "docs" / "images"
Record = Mapping[str, Any]


def main() -> None:
    record = json.loads((RESULTS / "latest.json").read_text(encoding="utf-8"))
    if "search" in record:
        search(record["search"], IMAGES / "search-speed.png")
    if "embedding" in record:
        embedding(record["embedding"], IMAGES / "embedding-speed.png")
    path = RESULTS / "retrieval.json"
    if path.is_file():
        recall(json.loads(path.read_text(encoding="utf-8")), IMAGES / "corpus-recall.png")


def search(found: Record, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    sizes = [int(size) for size in found["sizes"]]
    for name in next(iter(found["sizes"].values())):
        times = [found["sizes"][str(size)][name]["p50_ms"] for size in sizes]
        axes.plot(sizes, times, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="fragments", ylabel="p50 of one search, ms")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def embedding(found: Record, path: Path) -> None:
    figure, both = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, what in zip(both, ("texts", "pictures"), strict=True):
        for name, one in found[what].items():
            levels = [int(level) for level in one]
            rates = [one[str(level)]["items_per_s"] for level in levels]
            axes.plot(levels, rates, marker="o", label=name)
        axes.set(xscale="log", xlabel="requests at once", ylabel=f"{what} a second", ylim=(0, None))
        axes.set_xticks(levels, [str(level) for level in levels])
        axes.minorticks_off()
        axes.grid(visible=True, alpha=0.3)
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _save(figure, path)


def recall(found: Record, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    at = (1, 5, 10, 20)
    for name, one in found["systems"].items():
        axes.plot(at, [one["half"][f"recall@{k}"] for k in at], marker="o", label=name)
    axes.set(xlabel="k", ylabel="recall at k", xticks=at, ylim=(0, 1))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    # Without its date the same numbers are the same file.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
