"""The held-out corpus as a stack is asked about it: dialogues, queries, and what is relevant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from colloquy.dialogue_files import Fault, Read
from training.data import public
from training.data.world import corpus as world
from training.data.world.corpus import Corpus, CorpusQuery, CorpusSplit, Fragment
from training.evaluate.fragment_metrics import Chosen, Judged

Found = Mapping[str, Any]
"""A fragment of an answer: `dialogue_id`, `utterance_ids`, `image_ids`."""


@dataclass(frozen=True)
class HeldOut:
    """A corpus and its queries."""

    split: CorpusSplit
    corpus: Corpus

    @classmethod
    def load(cls, split: CorpusSplit) -> "HeldOut":
        """The committed set.

        Raises:
            HashDiffers: the generator no longer makes it.
        """
        return cls(split, world.load_corpus(split))

    @property
    def queries(self) -> Sequence[CorpusQuery]:
        return self.corpus.queries

    @property
    def collection(self) -> str:
        """The collection it is kept in: named by content, so that no other set is taken for it."""
        return f"eval-{world.GENERATOR}-{self.split}-{self._sha256[:12]}"

    def described(self, queries: int) -> dict[str, Any]:
        return {
            "generator": world.GENERATOR,
            "split": self.split,
            "sha256": self._sha256,
            "dialogues": len(self.corpus.dialogues),
            "fragments": len(self.corpus.fragments),
            "queries": queries,
            "limited": queries < len(self.queries),
        }

    def dialogues(self) -> Iterator[Read | Fault]:
        """Every dialogue in the public form, made when it is asked for."""
        for number, dialogue in enumerate(self.corpus.dialogues):
            name = world.dialogue_id(self.split, number)
            made = public.dialogue(dialogue, id=name, number=number, split=self.split)
            yield Read(f"dialogue {number}", made)

    # --- what is right ------------------------------------------------------------------------

    def gold(self, query: CorpusQuery) -> list[Fragment]:
        return [self.corpus.fragments[place] for place in query.gold]

    def cluster(self, query: CorpusQuery) -> int:
        """Queries that share it are not independent: the dialogue of the first gold fragment."""
        return self.corpus.fragments[query.gold[0]].dialogue

    def number_of(self, dialogue_id: str) -> int | None:
        """A dialogue's place in the corpus; None for one that is not of it."""
        return self._numbers.get(dialogue_id)

    def judge(self, query: CorpusQuery, found: Sequence[Found]) -> Judged:
        """Utterances and pictures of an answer against those of all gold fragments.

        Ids are those of the corpus as one long dialogue, so that what is found in a wrong dialogue
        counts against the answer.
        """
        gold = self.gold(query)
        return Judged.over(
            Chosen.of(
                (self._utterances[one.dialogue] + i for one in gold for i in one.utterance_ids),
                (self._images[one.dialogue] + i for one in gold for i in one.image_ids),
            ),
            Chosen.of(
                self._placed(found, "utterance_ids", self._utterances),
                self._placed(found, "image_ids", self._images),
            ),
            turns=self._utterances[-1],
            images=self._images[-1],
        )

    def _placed(
        self, found: Sequence[Found], ids: str, offsets: Sequence[int]
    ) -> Iterator[int | str]:
        for fragment in found:
            number = self.number_of(fragment["dialogue_id"])
            for one in fragment[ids]:
                if (
                    number is None
                ):  # of a dialogue that somebody else put there: wrong, but not ours
                    yield f"{fragment['dialogue_id']}/{one}"
                else:
                    yield offsets[number] + one

    @cached_property
    def _sha256(self) -> str:
        return world.fingerprint(self.corpus)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {
            world.dialogue_id(self.split, number): number
            for number in range(len(self.corpus.dialogues))
        }

    @cached_property
    def _utterances(self) -> list[int]:
        """Where each dialogue's utterances begin; last, how many there are."""
        return _offsets(len(dialogue.turns) for dialogue in self.corpus.dialogues)

    @cached_property
    def _images(self) -> list[int]:
        return _offsets(len(dialogue.pictures) for dialogue in self.corpus.dialogues)


def facts_of(query: CorpusQuery) -> dict[str, str]:
    """What results are broken down by."""
    return {
        "language": query.language,
        "answered by": query.answered_by,
        "gold fragments": str(len(query.gold)) if len(query.gold) < 3 else "3 and more",
        "wording": "new" if query.novel else "as in training",
    }


def _offsets(sizes: Iterator[int]) -> list[int]:
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    return offsets
