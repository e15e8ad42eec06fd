"""Search over dialogues in memory, by the words that a fragment shares with the query."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from colloquy.contracts.collections import ItemState
from colloquy.contracts.content import Dialogue
from colloquy.contracts.fragments import Filter, FoundFragment, FragmentSearchRequest, Scores

FRAGMENT = 3  # turns in each


@dataclass
class Kept:
    dialogue: Dialogue
    state: ItemState
    revision: int
    updated: datetime

    @property
    def fragments(self) -> list[list[int]]:
        ids = list(range(len(self.dialogue.utterances)))
        return [ids[at : at + FRAGMENT] for at in range(0, len(ids), FRAGMENT)]


def found_in(
    dialogue_id: str, kept: Kept, request: FragmentSearchRequest
) -> Iterator[FoundFragment]:
    owners = kept.dialogue.image_owners()
    words = set((request.query or "").lower().split())
    for ids in kept.fragments:
        turns = [kept.dialogue.utterances[one] for one in ids]
        text = " ".join(part.text for turn in turns for part in turn.parts if part.type == "text")
        images = [image for image, owner in enumerate(owners) if owner in ids]
        share = len(words & set(text.lower().split())) / max(1, len(words))
        if not share and not (request.query_image is not None and images):
            continue
        retrieval = round(0.3 + 0.5 * share, 4)
        rerank = None if request.rerank == "none" else round(0.2 + 0.75 * share, 4)
        final = round(retrieval / 20, 4) if rerank is None else round(retrieval + rerank, 4)
        yield FoundFragment(
            dialogue_id=dialogue_id,
            utterance_ids=ids,
            image_ids=images,
            utterances=turns,
            scores=Scores(retrieval=retrieval, rerank=rerank, final=final),
        )


def lets_through(given: Filter | None, dialogue_id: str, kept: Kept) -> bool:
    if given is None:
        return True
    turns = kept.dialogue.utterances
    times = [turn.time for turn in turns if turn.time is not None]
    checks: list[Callable[[], bool]] = [
        lambda: given.dialogue_id is None or dialogue_id in given.dialogue_id,
        lambda: given.speaker is None or any(turn.speaker in given.speaker for turn in turns),
        lambda: given.after is None or any(time >= given.after for time in times),
        lambda: given.before is None or any(time < given.before for time in times),
        lambda: all(
            kept.dialogue.metadata.get(key) in values
            for key, values in (given.metadata or {}).items()
        ),
    ]
    return all(check() for check in checks)
