"""The world's data sets: generated from a seed, named by their hash.

python -m training.data.world.splits           # regenerate the held-out splits, verify
python -m training.data.world.splits --write   # a new generator version: write the hashes
"""

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from training.data.world.dialogues import USUAL, Plan, WorldDialogue, make_dialogue
from training.data.world.facts import Split
from training.data.world.noise import with_typos
from training.data.world.pictures import PictureSpec, draw
from training.data.world.queries import WorldQuery, make_queries

GENERATOR = "world-2"
SEED = 20261121
HASHES = Path(__file__).parent / "splits.json"
DIALOGUES: dict[Split, int] = {"train": 40_000, "validation": 120, "test": 360, "shifted": 120}
HELD_OUT: tuple[Split, ...] = ("validation", "test", "shifted")
QUERIES_A_DIALOGUE = 3
SHIFTED = Plan(turns=(30, 60), stretches=(4, 5, 6), longest=16, idle=0.4, named=True)
TYPOS = 0.06  # share of the words of a shifted dialogue, and of half of its queries


class HashDiffers(Exception):
    """A regenerated split is not the one that was committed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One dialogue and the queries asked about it."""

    dialogue: WorldDialogue
    queries: tuple[WorldQuery, ...]


def sample(split: Split, number: int, queries: int = QUERIES_A_DIALOGUE) -> Sample:
    """Makes sample `number` of a split, independently of the others."""
    seed = f"{GENERATOR}/{SEED}/{split}/{number}"
    dialogue = make_dialogue(seed, split, plan=SHIFTED if split == "shifted" else USUAL)
    rng = random.Random(f"{seed}/queries")
    asked = make_queries(dialogue, rng, split, queries)
    if split == "shifted":  # gold follows from what was meant
        dialogue, asked = _mistyped(dialogue, asked, random.Random(f"{seed}/typos"))
    return Sample(dialogue, tuple(asked))


def _mistyped(
    dialogue: WorldDialogue, queries: list[WorldQuery], rng: random.Random
) -> tuple[WorldDialogue, list[WorldQuery]]:
    turns = tuple(
        replace(turn, text=with_typos(turn.text, dialogue.language, TYPOS, rng))
        for turn in dialogue.turns
    )
    asked = [
        replace(query, text=with_typos(query.text, query.language, TYPOS, rng))
        if rng.random() < 0.5
        else query
        for query in queries
    ]
    return replace(dialogue, turns=turns), asked


def generate(split: Split) -> Iterator[Sample]:
    """Yields a split in order, without the pictures' pixels."""
    for number in range(DIALOGUES[split]):
        yield sample(split, number)


def fingerprint(samples: Iterator[Sample], *, pixels: bool) -> str:
    """SHA-256 of the canonical JSON of samples, the hash of each picture's pixels included.

    Args:
        pixels: False leaves pictures to their specs, for the large training split.
    """
    digest = hashlib.sha256()
    for entry in samples:
        record = asdict(entry)
        if pixels:
            record["pixels"] = [pixel_hash(spec) for spec in entry.dialogue.pictures]
        line = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


@cache
def pixel_hash(spec: PictureSpec) -> str:
    return hashlib.sha256(draw(spec).tobytes()).hexdigest()


def committed(split: Split) -> str:
    """The hash a split must have."""
    hashes = json.loads(HASHES.read_text(encoding="utf-8"))
    return str(hashes["splits"][split]["sha256"])


def load(split: Split) -> list[Sample]:
    """Regenerates a split and verifies it.

    Raises:
        HashDiffers: the code now generates other data than was committed.
    """
    samples = list(generate(split))
    found = fingerprint(iter(samples), pixels=split != "train")
    if found != committed(split):
        raise HashDiffers(f"{split} is {found}, committed {committed(split)}")
    return samples


def _write() -> None:
    splits = {
        split: {
            "dialogues": DIALOGUES[split],
            "queries": DIALOGUES[split] * QUERIES_A_DIALOGUE,
            "sha256": fingerprint(generate(split), pixels=split != "train"),
        }
        for split in DIALOGUES
    }
    record = {"generator": GENERATOR, "seed": SEED, "splits": splits}
    HASHES.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the hashes, do not verify")
    if parser.parse_args().write:
        _write()
        return
    for split in HELD_OUT:
        load(split)
        print(f"{split}: {committed(split)} verified")


if __name__ == "__main__":
    main()
