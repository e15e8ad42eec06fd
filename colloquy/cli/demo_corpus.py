"""The second half of the demo: the sample corpus goes into a collection, which is then searched."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from colloquy.cli import index
from colloquy.cli.failure import CommandFailed
from colloquy.cli.gateway import Gateway
from colloquy.cli.ingestion import ensure_collection
from colloquy.cli.show import counted, show_numbered

COLLECTION = "samples"
DIALOGUES, QUERIES = "dialogues.ndjson", "queries.jsonl"
_ASKED = 3
_SHOWN = 1
_SAME = 0.5


def index_and_search(console: Console, gateway: Gateway, folder: Path) -> list[str]:
    """Indexes the corpus in `folder` and asks its first queries; returns what is wrong.

    Done twice, the second time changes nothing in the collection.

    Raises:
        CommandFailed: a file cannot be read, or the gateway refuses.
    """
    queries = read_queries(folder / QUERIES)
    console.print(Rule(style="dim"))
    ensure_collection(gateway, COLLECTION)
    with console.status("indexing the sample corpus …"):
        outcome = index.run(gateway, COLLECTION, index.sources([folder / DIALOGUES]))
    found = gateway.get(f"/v1/collections/{COLLECTION}")
    console.print(
        f"[bold]{counted(outcome.indexed, 'dialogue')}[/] can be searched in the collection "
        f"[bold]{COLLECTION}[/], {counted(found['fragments'], 'fragment')}",
        highlight=False,
    )
    wrong = [f"not indexed: {counted(outcome.failed, 'sample dialogue')}"] if outcome.failed else []
    return wrong + [why for query in queries[:_ASKED] if (why := _ask(console, gateway, query))]


def read_queries(path: Path) -> list[dict[str, Any]]:
    """Raises CommandFailed: it cannot be read, or has too few."""
    try:
        queries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the sample queries cannot be read: {path}: {error}") from error
    if len(queries) < _ASKED:
        raise CommandFailed(f"the sample queries are too few: {path}")
    return queries


def answers(fragment: dict[str, Any], gold: Sequence[dict[str, Any]]) -> bool:
    """Whether a found fragment holds at least half of what answers the query."""
    found = set(fragment["utterance_ids"])
    return any(
        fragment["dialogue_id"] == one["dialogue_id"]
        and len(found & set(one["utterance_ids"])) >= _SAME * len(one["utterance_ids"])
        for one in gold
    )


def _ask(console: Console, gateway: Gateway, query: dict[str, Any]) -> str | None:
    """Asks and shows the best fragment; returns what is wrong, if anything."""
    console.print(Rule(style="dim"))
    console.print(f"[bold yellow]?[/] [bold]{escape(query['query'])}[/]", highlight=False)
    body = {"query": query["query"], "collection": COLLECTION}
    with console.status("searching …"):
        answer = gateway.post("/v1/fragments/search", body)
    for fragment in answer["fragments"][:_SHOWN]:
        console.print(f"[dim]{escape(fragment['dialogue_id'])}[/]", highlight=False)
        show_numbered(console, {turn["id"]: turn for turn in fragment["utterances"]})
    steps = ", ".join(
        f"{name} {ms:.0f} ms" for name, ms in answer["timings_ms"].items() if name != "total"
    )
    total_s = answer["timings_ms"]["total"] / 1_000
    console.print(f"[dim]{total_s:.1f} s: {escape(steps)}[/]", highlight=False)
    if not any(answers(fragment, query["gold"]) for fragment in answer["fragments"]):
        return f"“{query['query']}” did not find what answers it"
    return None
