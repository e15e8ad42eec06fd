"""The records of corpus evaluations and of retrieval's speed as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import table

Record = Mapping[str, Any]
_RECALLS = ("recall@1", "recall@5", "recall@10", "recall@20")


def retrieval(result: Record) -> str:
    systems = result["systems"]
    rows = [
        [
            name,
            *(one["half"][recall] for recall in _RECALLS),
            f"{one['latency_ms']['p50']:.0f} / {one['latency_ms']['p95']:.0f}",
            one["degraded"],
        ]
        for name, one in systems.items()
    ]
    less = [
        [name, recall, _interval(difference)]
        for name, one in result["differences"].items()
        for recall, difference in one.items()
    ]
    parts = [
        [f"{fact}: {value}", numbers["queries"]]
        + [numbers["systems"][name]["recall@1"] for name in systems]
        for fact, values in result["by"].items()
        for value, numbers in values.items()
    ]
    about = result["set"]
    return "\n\n".join(
        [
            table(["", *_RECALLS, "ms p50 / p95", "degraded"], rows),
            table(["difference", "of", "95%"], less),
            table(["recall@1 by", "queries", *systems], parts),
            f"{about['queries']} queries over {about['dialogues']} dialogues of "
            f"`{about['generator']}/{about['split']}`, as the splitter cut them.",
        ]
    )


def corpus(result: Record) -> str:
    systems = result["systems"]
    rows = [
        [
            name,
            *(one["micro"][part]["f1"] for part in ("joint", "utterance", "image")),
            one["first"]["joint"]["f1"],
            one["empty"],
            f"{one['latency_ms']['p50']:.0f} / {one['latency_ms']['p95']:.0f}",
        ]
        for name, one in systems.items()
    ]
    less = [[name, _interval(difference)] for name, difference in result["differences"].items()]
    headings = ["", "joint F1", "utterance F1", "image F1", "joint F1 of the first", "empty"]
    about = result["set"]
    return "\n\n".join(
        [
            table([*headings, "ms p50 / p95"], rows),
            table(["difference in joint F1", "95%"], less),
            f"{about['queries']} queries over {about['dialogues']} dialogues of "
            f"`{about['generator']}/{about['split']}`; up to {result['top_k']} dialogues answered.",
        ]
    )


def embedding(found: Record) -> str:
    """Items a second by concurrency, and what is beside the service."""
    parts = [
        f"**Embedding** with random weights of ViT-B/32's shape, float32 where nothing is said, "
        f"{found['threads']} thread for each side's model, {found['items']} items a round, one a "
        f"request; medians of {found['repeats']} rounds."
    ]
    for what in ("texts", "pictures"):
        sides = found[what]
        concurrencies = list(next(iter(sides.values())))
        rows = [
            [name, *(one[c]["items_per_s"] for c in concurrencies)] for name, one in sides.items()
        ]
        ours = [name for name in sides if name.startswith("Colloquy")]
        for mine in ours:
            for name in sorted(sides.keys() - set(ours)):
                ratios = [
                    f"{sides[mine][c]['items_per_s'] / sides[name][c]['items_per_s']:.2f}"
                    for c in concurrencies
                ]
                rows.append([f"{mine} over {name}", *ratios])
        heads = [f"{what} a second at {c}" for c in concurrencies]
        parts.append(table(["", *heads], rows))
    return "\n\n".join(parts)


def search(found: Record) -> str:
    """Milliseconds and recall by size."""
    rows = []
    for size, sides in found["sizes"].items():
        for name, one in sides.items():
            rows.append(
                [
                    f"{int(size):,}",
                    name,
                    one["p50_ms"],
                    one["p95_ms"],
                    one["recall_at_10"],
                    f"{one['points_per_s']:,}",
                    one.get("unoptimised_ms"),
                    one.get("optimise_s"),
                ]
            )
    headings = ["points", "", "p50 ms", "p95 ms", "recall@10", "stored a second"]
    return "\n\n".join(
        [
            f"**Search** among vectors of {found['dimensions']} numbers, {found['queries']} "
            "queries one after the other, the ten nearest; recall against an exact scan.",
            table([*headings, "p50 ms before the graph", "graph built in s"], rows),
        ]
    )


def _interval(less: Record) -> str:
    return f"{less['difference']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]"
