"""The held-out queries of the synthetic world, in the form that the public API takes."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from colloquy.contracts.content import Dialogue, ImagePart, TextPart, Utterance
from training.data.prompts import utterances
from training.data.world import splits
from training.data.world.dialogues import WorldDialogue
from training.data.world.facts import Split
from training.data.world.pictures import png
from training.data.world.queries import WorldQuery
from training.data.world.splits import Sample
from training.evaluate.fragment_metrics import Chosen, Judged

SHORT_TURNS, MEDIUM_TURNS = 15, 25


@dataclass(frozen=True)
class WorldCase:
    """One dialogue that is asked about, with its pictures as `data:` URLs."""

    world: WorldDialogue

    @cached_property
    def dialogue(self) -> Dialogue:
        urls = [data_url(png(spec)) for spec in self.world.pictures]
        return Dialogue(utterances=[_shown(turn, urls) for turn in utterances(self.world)])

    @cached_property
    def texts(self) -> tuple[str, ...]:
        return tuple(turn.text for turn in self.world.turns)

    @property
    def length(self) -> str:
        turns = len(self.world.turns)
        if turns <= SHORT_TURNS:
            return f"to {SHORT_TURNS} turns"
        return f"to {MEDIUM_TURNS} turns" if turns <= MEDIUM_TURNS else "longer"

    def chosen(self, turn_ids: Iterable[int]) -> Chosen:
        """Turns, and with them the pictures that they show."""
        turns = frozenset(turn_ids)
        return Chosen(turns, frozenset(i for i, o in enumerate(self._owners) if o in turns))

    @cached_property
    def _owners(self) -> list[int]:
        """The turn that shows each picture."""
        return [number for number, turn in enumerate(self.world.turns) if turn.picture]


@dataclass(frozen=True)
class Question:
    """One query over a dialogue, and what answers it."""

    case: WorldCase
    query: WorldQuery

    @property
    def gold(self) -> Chosen:
        return Chosen.of(self.query.utterance_ids, self.query.image_ids)

    def judge(self, predicted: Chosen) -> Judged:
        world = self.case.world
        return Judged.over(self.gold, predicted, turns=len(world.turns), images=len(world.pictures))

    @property
    def facts(self) -> dict[str, str]:
        """What results are broken down by."""
        return {
            "language": self.query.language,
            "answered by": self.query.answered_by,
            "length": self.case.length,
            "wording": "new" if self.query.novel else "as in training",
            "fragments": "several" if len(self.query.topics) > 1 else "at most one",
            "asked": ", ".join(sorted(self.query.facets)),
        }


def questions(split: Split, limit: int | None = None) -> list[Question]:
    """The queries of a split, in order, after its hash was verified.

    Raises:
        training.data.world.splits.HashDiffers: the generator no longer makes the committed set.
    """
    return of_samples(splits.load(split))[:limit]


def of_samples(samples: Sequence[Sample]) -> list[Question]:
    return [
        Question(case, query)
        for entry in samples
        for case in [WorldCase(entry.dialogue)]
        for query in entry.queries
    ]


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _shown(turn: Utterance, urls: Sequence[str]) -> Utterance:
    parts: list[TextPart | ImagePart] = []
    for part in turn.parts:
        if isinstance(part, ImagePart):
            number = int(part.image_url.url.rpartition(":")[2])
            parts.append(ImagePart.of(urls[number]))
        else:
            parts.append(part)
    return turn.model_copy(update={"content": parts})
