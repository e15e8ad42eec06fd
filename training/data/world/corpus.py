"""A corpus of dialogues, and queries whose gold is every fragment in it that answers them.

python -m training.data.world.corpus                 # regenerate both sets, verify
python -m training.data.world.corpus --write         # a new generator version: write the hashes
python -m training.data.world.corpus --out FOLDER    # as files: dialogues.ndjson, queries.jsonl
"""

import argparse
import hashlib
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from training.data import public
from training.data.world import asking, facets
from training.data.world.dialogues import WorldDialogue, make_dialogue
from training.data.world.facets import LITERAL, Facet, Facets, Told
from training.data.world.lexicon import Language
from training.data.world.splits import HashDiffers, pixel_hash

GENERATOR = "corpus-2"
SEED = 20261122
HASHES = Path(__file__).parent / "corpus.json"
CorpusSplit = Literal["validation", "test"]
SIZES: dict[CorpusSplit, tuple[int, int]] = {"validation": (300, 150), "test": (2000, 500)}
MOST_GOLD = 6
TRIES = 500  # at a query of one kind
FOREIGN = 0.14  # share of queries in the other language than all of their gold
SEEN = 0.34  # share of queries that ask for a colour, which only a picture tells

# What is asked, and how often; a literal facet stands for any that the fragment tells.
_SEEN_KINDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("item", "colour", "event"), 5),
    (("item", "colour"), 3),
    (("item", "colour", "literal"), 2),
    (("item", "style", "event"), 1),
    (("item", "count"), 1),
    (("colour", "event", "literal"), 1),
)
_TOLD_KINDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("item", "event"), 4),
    (("item", "event", "literal"), 8),
    (("item", "literal", "literal"), 1),
    (("item", "event", "relation"), 2),
    (("event", "literal", "literal"), 3),
    (("matter", "literal", "literal"), 3),
    (("matter", "literal"), 2),
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One topic of one dialogue, with every turn and image about it."""

    dialogue: int
    topic: int
    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CorpusQuery:
    """A query over the whole corpus.

    Attributes:
        gold: positions in `Corpus.fragments`, ascending.
        answered_by: "picture" where every gold fragment tells one of the facets by a picture alone.
        novel: uses a frame or a combination that training never showed.
    """

    text: str
    language: Language
    facets: Facets
    gold: tuple[int, ...]
    answered_by: Literal["text", "picture"]
    novel: bool


@dataclass(frozen=True, slots=True)
class Corpus:
    dialogues: tuple[WorldDialogue, ...]
    fragments: tuple[Fragment, ...]
    queries: tuple[CorpusQuery, ...]


def load_corpus(split: CorpusSplit) -> Corpus:
    """Regenerates a set and verifies it.

    Raises:
        HashDiffers: the code now generates other data than was committed.
    """
    corpus = make_corpus(split)
    found = fingerprint(corpus)
    committed = json.loads(HASHES.read_text(encoding="utf-8"))["sets"][split]["sha256"]
    if found != committed:
        raise HashDiffers(f"corpus {split} is {found}, committed {committed}")
    return corpus


def make_corpus(
    split: CorpusSplit, dialogues: int | None = None, queries: int | None = None
) -> Corpus:
    """Makes a corpus of any size; a smaller one holds the first dialogues of a larger one.

    Gold depends on all the dialogues, so queries of corpora of different sizes differ.
    """
    usual = SIZES[split]
    count = usual[0] if dialogues is None else dialogues
    made = tuple(_dialogue(split, number) for number in range(count))
    fragments = tuple(
        Fragment(place, topic, tuple(turns), tuple(dialogue.images_in(turns)))
        for place, dialogue in enumerate(made)
        for topic in range(len(dialogue.topics))
        for turns in (dialogue.turns_about(topic),)
    )
    drawer = _Drawer(split, made, fragments)
    return Corpus(made, fragments, drawer.draw(usual[1] if queries is None else queries))


def fingerprint(corpus: Corpus) -> str:
    """SHA-256 of the canonical JSON of everything, the hash of each picture's pixels included."""
    digest = hashlib.sha256()
    records: list[dict[str, Any]] = [
        asdict(dialogue) | {"pixels": [pixel_hash(spec) for spec in dialogue.pictures]}
        for dialogue in corpus.dialogues
    ]
    records += [asdict(query) for query in corpus.queries]
    for record in records:
        line = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


class _Drawer:
    """Draws queries, and knows which fragments tell what."""

    def __init__(
        self,
        split: CorpusSplit,
        dialogues: tuple[WorldDialogue, ...],
        fragments: tuple[Fragment, ...],
    ) -> None:
        self._split = split
        self._languages = [dialogues[fragment.dialogue].language for fragment in fragments]
        self._told: list[Told] = [
            facets.told(dialogues[fragment.dialogue], fragment.topic) for fragment in fragments
        ]
        self._telling = _by_fact([told.facets for told in self._told])
        self._beside = _by_fact([told.beside for told in self._told])

    def draw(self, count: int) -> tuple[CorpusQuery, ...]:
        rng = random.Random(f"{GENERATOR}/{SEED}/{self._split}/{len(self._told)}/queries")
        queries: dict[str, CorpusQuery] = {}
        while len(queries) < count:
            kinds = _SEEN_KINDS if rng.random() < SEEN else _TOLD_KINDS
            foreign = rng.random() < FOREIGN
            query = None
            tries = 0
            while query is None:
                # In a large corpus some kinds are never specific enough.
                if tries % TRIES == 0:
                    chosen = rng.choices(range(len(kinds)), [often for _, often in kinds])[0]
                query = self._query(rng, kinds[chosen][0], foreign)
                tries += 1
            queries.setdefault(query.text, query)
        return tuple(queries.values())

    def _query(
        self, rng: random.Random, kind: tuple[str, ...], foreign: bool
    ) -> CorpusQuery | None:
        source = rng.randrange(len(self._told))
        told = self._told[source]
        # A name is not translated, so a foreign query cannot ask for a person.
        literal = [f for f in LITERAL if f in told.facets and not (foreign and f == "person")]
        rng.shuffle(literal)
        if kind.count("literal") > len(literal):
            return None
        wanted: list[Any] = [literal.pop() if name == "literal" else name for name in kind]
        asked = asking.choose(told, rng, wanted)
        if asked is None or asked.get("count") == "1":
            return None
        gold = sorted(_having(self._telling, asked) | _having(self._beside, asked))
        if len(gold) > MOST_GOLD:
            return None
        language = self._languages[source]
        if foreign:
            language = asking.other(language)
            if any(self._languages[number] == language for number in gold):
                return None
        by_picture = all(self._told[number].satisfies_by_picture(asked) for number in gold)
        picture = "event" not in asked and bool({"colour", "count"} & asked.keys())
        text, novel = asking.ask(asked, language, rng, self._split, picture=picture)
        answered_by: Literal["text", "picture"] = "picture" if by_picture else "text"
        return CorpusQuery(text, language, asked, tuple(gold), answered_by, novel)


_Facts = dict[tuple[Facet, str], set[int]]


def _by_fact(found: list[Facets]) -> _Facts:
    """Which fragments tell a fact."""
    telling: _Facts = {}
    for number, one in enumerate(found):
        for fact in one.items():
            telling.setdefault(fact, set()).add(number)
    return telling


def _having(telling: _Facts, asked: Facets) -> set[int]:
    """The fragments that tell all of it."""
    return set.intersection(*(telling.get(fact, set()) for fact in asked.items()))


def _dialogue(split: CorpusSplit, number: int) -> WorldDialogue:
    return make_dialogue(f"{GENERATOR}/{SEED}/{split}/{number}", split)


# --- files ------------------------------------------------------------------------------------


def write_files(corpus: Corpus, split: CorpusSplit, folder: Path) -> None:
    """Writes `dialogues.ndjson` in the public form, and `queries.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dialogues.ndjson").open("w", encoding="utf-8") as file:
        for number, dialogue in enumerate(corpus.dialogues):
            name = dialogue_id(split, number)
            written = public.dialogue(dialogue, id=name, number=number, split=split)
            file.write(written.model_dump_json(exclude_none=True, exclude={"acl"}) + "\n")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for query in corpus.queries:
            gold = [
                {
                    "dialogue_id": dialogue_id(split, corpus.fragments[place].dialogue),
                    "utterance_ids": corpus.fragments[place].utterance_ids,
                    "image_ids": corpus.fragments[place].image_ids,
                }
                for place in query.gold
            ]
            record = {
                "query": query.text,
                "gold": gold,
                "answered_by": query.answered_by,
                "language": query.language,
                "novel": query.novel,
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def dialogue_id(split: CorpusSplit, number: int) -> str:
    """The id that a dialogue has in files."""
    return f"{split}-{number:05d}"


def _write_hashes() -> None:
    sets = {}
    for split, (dialogues, queries) in SIZES.items():
        corpus = make_corpus(split)
        sets[split] = {
            "dialogues": dialogues,
            "fragments": len(corpus.fragments),
            "queries": queries,
            "sha256": fingerprint(corpus),
        }
    record = {"generator": GENERATOR, "seed": SEED, "sets": sets}
    HASHES.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the hashes, do not verify")
    parser.add_argument("--out", type=Path, help="folder for the files")
    parser.add_argument("--split", choices=tuple(SIZES), default="test")
    parser.add_argument("--dialogues", type=int, help="any number; default: the set's own")
    parser.add_argument("--queries", type=int, help="any number; default: the set's own")
    chosen = parser.parse_args()
    if chosen.write:
        _write_hashes()
    elif chosen.out:
        corpus = make_corpus(chosen.split, chosen.dialogues, chosen.queries)
        write_files(corpus, chosen.split, chosen.out)
        print(f"{len(corpus.dialogues)} dialogues, {len(corpus.queries)} queries: {chosen.out}")
    else:
        for split in SIZES:
            print(f"{split}: {len(load_corpus(split).queries)} queries verified")


if __name__ == "__main__":
    main()
