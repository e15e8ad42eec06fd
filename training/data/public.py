"""The world's dialogues in the public API's form."""

import base64
from datetime import UTC, datetime, timedelta

from colloquy.contracts.content import Dialogue, ImagePart, TextPart, Utterance
from training.data.world.dialogues import WorldDialogue
from training.data.world.pictures import png

FIRST_DAY = datetime(2026, 1, 1, 8, tzinfo=UTC)
TURN_GAP, DIALOGUE_GAP = timedelta(seconds=40), timedelta(minutes=47)


def utterances(dialogue: WorldDialogue, start: datetime | None = None) -> list[Utterance]:
    """Every turn, pictures as PNG data URLs behind the text.

    Args:
        start: when the first turn was said; None leaves times out.
    """
    turns = []
    for number, turn in enumerate(dialogue.turns):
        time = start + number * TURN_GAP if start else None
        if turn.picture is None:
            turns.append(Utterance(id=number, speaker=turn.speaker, time=time, content=turn.text))
            continue
        data = base64.b64encode(png(turn.picture)).decode()
        parts: list[TextPart | ImagePart] = [TextPart(text=turn.text)] if turn.text else []
        parts.append(ImagePart.of(f"data:image/png;base64,{data}"))
        turns.append(Utterance(id=number, speaker=turn.speaker, time=time, content=parts))
    return turns


def dialogue(source: WorldDialogue, *, id: str, number: int, split: str) -> Dialogue:
    """A dialogue with its id, metadata and times, which follow from its number."""
    return Dialogue(
        id=id,
        metadata={"language": source.language, "split": split},
        utterances=utterances(source, FIRST_DAY + number * DIALOGUE_GAP),
    )
