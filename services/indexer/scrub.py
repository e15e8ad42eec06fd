"""Taking a person out of a dialogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colloquy.contracts.content import Dialogue, Utterance
from services.indexer.domain import ERASED


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What is left of a dialogue.

    Attributes:
        dialogue: None when all of it goes.
        utterances, images: how many went.
    """

    dialogue: Dialogue | None
    utterances: int
    images: int


def scrub(dialogue: Dialogue, spec: Mapping[str, Any]) -> Scrubbed | None:
    """Erases by `{"speaker": …}` or `{"metadata": {…}}`; None when the dialogue has no trace.

    Of a speaker the turns stay in their places, so that ids go on to mean what they meant, but
    nothing of them: no name, words, pictures, time or message id. A dialogue with the metadata
    goes as a whole.
    """
    if spec.get("speaker") is not None:
        return _without_speaker(dialogue, spec["speaker"])
    wanted = spec.get("metadata") or {}
    found = dialogue.metadata
    if wanted and all(name in found and _same(found[name], wanted[name]) for name in wanted):
        return Scrubbed(None, len(dialogue.utterances), len(dialogue.images))
    return None


def scrub_all(dialogue: Dialogue, specs: Sequence[Mapping[str, Any]]) -> Dialogue | None:
    """What is left after several erasures; None when nothing is."""
    for spec in specs:
        found = scrub(dialogue, spec)
        if found is not None:
            if found.dialogue is None:
                return None
            dialogue = found.dialogue
    return dialogue


def _without_speaker(dialogue: Dialogue, speaker: str) -> Scrubbed | None:
    theirs = [turn for turn in dialogue.utterances if turn.speaker == speaker]
    # After an erasure somebody of that very name has nothing left that could go.
    if not any(turn != _nothing(turn.id) for turn in theirs):
        return None
    turns = [_nothing(turn.id) if turn.speaker == speaker else turn for turn in dialogue.utterances]
    images = sum(len(turn.images) for turn in theirs)
    return Scrubbed(dialogue.model_copy(update={"utterances": turns}), len(theirs), images)


def _nothing(turn_id: int) -> Utterance:
    return Utterance(id=turn_id, speaker=ERASED, content="")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON values: 1 is 1.0, and neither is true."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
