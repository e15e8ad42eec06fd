"""Makes the sample corpus of the demo: dialogues of the test corpus, queries that a stack answers.

colloquy up
python -m training.evaluate.sample_corpus --first 26 54 30 37

A demo shows what works, so queries that the running stack answers with its best fragment come
first; how often it does is what `training.evaluate.corpus` measures.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from colloquy.cli import demo_corpus, index
from colloquy.cli.demo_corpus import COLLECTION, DIALOGUES, QUERIES
from colloquy.cli.failure import CommandFailed
from colloquy.cli.gateway import Gateway
from colloquy.cli.ingestion import ensure_collection
from colloquy.dialogue_files import Read
from colloquy.profile import ProfileError
from training.data.world import corpus
from training.data.world.corpus import CorpusQuery
from training.evaluate import command
from training.evaluate.corpus_set import HeldOut
from training.evaluate.standing import PATIENCE_S, Standing

SPLIT: corpus.CorpusSplit = "test"
NOT_FOUND = 1_000
_EMPTY = {"acl"}  # every reader may see every dialogue


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--profile", help="of the running stack: a file or a name")
    parser.add_argument("--url", help="of the gateway; from the profile if left out")
    parser.add_argument("--key", help="an API key, where the stack has keys")
    parser.add_argument("--folder", type=Path, default=Path("starter/samples/corpus"))
    parser.add_argument("--dialogues", type=command.positive, default=240)
    parser.add_argument("--queries", type=command.positive, default=60, help="that are asked")
    parser.add_argument("--keep", type=command.positive, default=40, help="of those")
    parser.add_argument("--first", type=int, nargs="*", default=[], help="numbers of queries")
    chosen = parser.parse_args(argv)
    try:
        standing = Standing.of(chosen)
        _make(chosen, Gateway(standing.url, standing.key, patience_s=PATIENCE_S))
    except (CommandFailed, ProfileError) as failure:
        parser.exit(1, f"{parser.prog}: {failure}\n")
    return 0


def _make(chosen: argparse.Namespace, gateway: Gateway) -> None:
    made = corpus.make_corpus(SPLIT, chosen.dialogues, chosen.queries)
    held_out = HeldOut(SPLIT, made)
    file = chosen.folder / DIALOGUES
    chosen.folder.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in _lines(held_out)), encoding="utf-8")
    ensure_collection(gateway, COLLECTION)
    index.run(gateway, COLLECTION, index.sources([file]))
    queries = [_public(held_out, query) for query in made.queries]
    places = [_place(gateway, query) for query in queries]
    rest = [number for number in range(len(queries)) if number not in chosen.first]
    order = [*chosen.first, *sorted(rest, key=lambda number: places[number])]
    kept = [json.dumps(queries[number], ensure_ascii=False) for number in order[: chosen.keep]]
    (chosen.folder / QUERIES).write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    print(f"{places.count(0)} of {len(queries)} queries are answered by the best fragment")


def _lines(held_out: HeldOut) -> Iterator[str]:
    for read in held_out.dialogues():
        assert isinstance(read, Read)
        yield read.dialogue.model_dump_json(exclude_none=True, exclude=_EMPTY)


def _public(held_out: HeldOut, query: CorpusQuery) -> dict[str, Any]:
    """A query as the demo reads it."""
    gold = [
        {
            "dialogue_id": corpus.dialogue_id(SPLIT, fragment.dialogue),
            "utterance_ids": list(fragment.utterance_ids),
            "image_ids": list(fragment.image_ids),
        }
        for fragment in held_out.gold(query)
    ]
    return {
        "query": query.text,
        "gold": gold,
        "answered_by": query.answered_by,
        "language": query.language,
        "novel": query.novel,
    }


def _place(gateway: Gateway, query: dict[str, Any]) -> int:
    """Of the first fragment that answers; beyond all where none does."""
    body = {"query": query["query"], "collection": COLLECTION}
    fragments = gateway.post("/v1/fragments/search", body)["fragments"]
    right = (demo_corpus.answers(fragment, query["gold"]) for fragment in fragments)
    return next((place for place, is_right in enumerate(right) if is_right), NOT_FOUND)


if __name__ == "__main__":
    raise SystemExit(main())
