"""Writes the measured tables of `docs/benchmarks.md` from `benchmarks/results/*.json`.

python -m benchmarks.tables
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import accuracy_tables, corpus_tables, rerank
from benchmarks.markdown import table
from benchmarks.throughput import SINGLE

CHECKOUT = Path(__file__).parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results"
PAGE = CHECKOUT / "docs" / "benchmarks.md"
Record = Mapping[str, Any]


def rewrite(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Replaces what stands between the markers of every result there is."""
    text = page.read_text(encoding="utf-8")
    for name, write in WRITERS.items():
        path = results / f"{name}.json"
        if path.is_file():
            text = replace(text, name, write(json.loads(path.read_text(encoding="utf-8"))))
    page.write_text(text, encoding="utf-8")


def replace(text: str, name: str, body: str) -> str:
    """Puts `body` between the markers called `name`.

    Raises:
        ValueError: the text does not have them.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the page has no `{begin}` … `{end}`")
    return pattern.sub(lambda _: f"{begin}\n{body.strip()}\n{end}", text, count=1)


def speed(result: Record) -> str:
    """Everything that `python -m benchmarks` measured; what was measured by itself says when."""
    sections = [made_by(result["command"], result["made_by"])]
    for name, write in _SECTIONS.items():
        if name in result:
            sections.append(write(result[name]))
            own = result[name].get("made_by")
            if own is not None and own != result["made_by"]:
                sections.append(made_by(f"python -m benchmarks --only {name}", own))
    return "\n\n".join(sections)


def made_by(command: str, record: Record) -> str:
    """Where the numbers below it come from."""
    machine = record["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"`{command}` on {machine['cores']} cores of {machine['processor']} "
        f"({machine['memory_gib']} GiB), {record['time']}, commit {record['commit']}, "
        f"load {machine['load_1min']} when it ended; Python {record['python']}, {versions}."
    )


def _throughput(found: Record) -> str:
    rows = []
    for name, side in found["sides"].items():
        seconds = side["seconds"]
        equal = f"{side['equal_answers']} of {side['answers']}" if name != SINGLE else "is compared"
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        faster = found["times_faster_than"].get(name)
        ratio = f"{faster['median']} ({faster['lowest']} to {faster['highest']})" if faster else ""
        rows.append(
            [name, f"{side['median_s']:.2f}", spread, ratio, equal, side.get("written_tokens")]
        )
    how = "merged into the weights" if found.get("merged") else "kept beside the weights"
    return "\n\n".join(
        [
            f"**{found['queries']} queries over one dialogue** of {found['turns']} turns and "
            f"{min(found['pictures'])} to {max(found['pictures'])} pictures; "
            f"{found['repeats']} dialogues, each new to every side. In transformers the adapter "
            f"is {how}.",
            table(
                [
                    "",
                    "median s",
                    "from, to",
                    "its time over Colloquy's",
                    "answers as one by one",
                    "tokens written",
                ],
                rows,
            ),
        ]
    )


def _rerank(found: Record) -> str:
    rows = []
    for name, side in found["sides"].items():
        seconds = side["seconds"]
        faster = found["times_faster_than"].get(name)
        apart = side.get("most_apart")
        rows.append(
            [
                name,
                f"{1_000 * side['median_s']:.0f}",
                f"{1_000 * min(seconds):.0f} to {1_000 * max(seconds):.0f}",
                f"{faster['median']} ({faster['lowest']} to {faster['highest']})" if faster else "",
                "is compared" if name == rerank.REFERENCE else f"{apart:.4f}",
            ]
        )
    how = "merged into the weights" if found.get("merged") else "kept beside the weights"
    return "\n\n".join(
        [
            f"**{found['candidates']} candidates reranked** against one query, each a fragment of "
            f"{found['turns']} turns, {min(found['pictures'])} to {max(found['pictures'])} of them "
            f"with pictures; {found['repeats']} queries, each new to every side. In transformers "
            f"the adapter is {how}.",
            table(
                [
                    "",
                    "median ms",
                    "from, to",
                    "its time over Colloquy's",
                    "P(Yes) apart from one by one, at most",
                ],
                rows,
            ),
        ]
    )


def _overhead(found: Record) -> str:
    rows = []
    for name, one in found.items():
        paired = one.get("added_paired_median_ms")
        rows.append(
            [
                name,
                f"{one['engine_ms']['p50']} / {one['engine_ms']['p95']}",
                f"{one['gateway_ms']['p50']} / {one['gateway_ms']['p95']}",
                f"{one['added_p50_ms']} / {one['added_p95_ms']}",
                "" if paired is None else f"{paired:.1f}",
                one["gateway_ms"]["requests"],
            ]
        )
    return "\n\n".join(
        [
            "**What gateway and generator add** to an engine's call (p50 / p95, ms; the same short "
            "dialogues, warm in both):",
            table(
                ["", "engine", "through the gateway", "added", "median of pairs", "requests each"],
                rows,
            ),
        ]
    )


def _prefix(found: Record) -> str:
    states = ("new", "the same again", "another query, same dialogue")
    rows = [
        [
            state,
            f"{found[state]['median_ms']:.0f}",
            f"{found[state]['cached_tokens']:g} of {found['prompt_tokens']:g}",
            found[state]["output_tokens"],
        ]
        for state in states
    ]
    again, other = found["times_faster_again"], found["times_faster_other"]
    return "\n\n".join(
        [
            f"**Prefix cache**, {found['dialogues']} dialogues of {found['turns']} turns, at the "
            "engine, one at a time:",
            table(["", "median ms", "cached prompt tokens", "tokens written"], rows),
            f"For each token written the same question is {again['median']} times faster again "
            f"({again['lowest']} to {again['highest']}), another query {other['median']} times "
            f"({other['lowest']} to {other['highest']}).",
        ]
    )


def _footprint(found: Record) -> str:
    rows = sorted(found["pss_mib"].items(), key=lambda entry: -entry[1])
    starts = ", ".join(f"{seconds:.0f}" for seconds in found["ready_s"])
    return "\n\n".join(
        [
            f"**Start**: ready after {found['ready_median_s']:.0f} s (each start: {starts} s). "
            f"**Memory** of the idle stack: {found['pss_mib_in_all']} MiB, of which (PSS):",
            table(["process", "MiB"], [list(row) for row in rows]),
        ]
    )


def _accuracy(found: Record, tables: str) -> str:
    return f"{made_by(found['command'], found['made_by'])}\n\n{tables}"


_SECTIONS: Mapping[str, Callable[[Record], str]] = {
    "throughput": _throughput,
    "rerank": _rerank,
    "embedding": corpus_tables.embedding,
    "search": corpus_tables.search,
    "overhead": _overhead,
    "prefix": _prefix,
    "footprint": _footprint,
}
WRITERS: Mapping[str, Callable[[Record], str]] = {
    "latest": speed,
    "fragment": lambda found: _accuracy(found, accuracy_tables.fragment(found)),
    "shifted": lambda found: _accuracy(found, accuracy_tables.fragment(found)),
    "split": lambda found: _accuracy(found, accuracy_tables.split(found)),
    "retrieval": lambda found: _accuracy(found, corpus_tables.retrieval(found)),
    "corpus": lambda found: _accuracy(found, corpus_tables.corpus(found)),
}


if __name__ == "__main__":
    rewrite()
