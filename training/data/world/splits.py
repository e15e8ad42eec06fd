"""The world's data sets: generated from a seed, named by their hash.

python -m training.data.world.splits           # regenerate validation and test, verify
python -m training.data.world.splits --write   # a new generator version: write the hashes
"""

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from training.data.world.dialogues import WorldDialogue, make_dialogue
from training.data.world.facts import Split
from training.data.world.pictures import PictureSpec, draw
from training.data.world.queries import WorldQuery, make_queries

GENERATOR = "world-1"
SEED = 20261121
HASHES = Path(__file__).parent / "splits.json"
DIALOGUES: dict[Split, int] = {"train": 40_000, "validation": 90, "test": 220}
QUERIES_A_DIALOGUE = 3


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
    dialogue = make_dialogue(seed, split)
    rng = random.Random(f"{seed}/queries")
    return Sample(dialogue, tuple(make_queries(dialogue, rng, split, queries)))


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
    for split in ("validation", "test"):
        load(split)
        print(f"{split}: {committed(split)} verified")


if __name__ == "__main__":
    main()
