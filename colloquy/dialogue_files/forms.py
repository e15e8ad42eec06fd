"""One record of a file as a dialogue, whichever form it has.

- ours: `{"id", "utterances": [...]}`, as the API takes it; also under the key `dialogue`.
- ms-swift's, in which MLDR and FFRS's intermediate files are written: `{"messages", "images",
  "dialogue_id"}`, the dialogue inside the prompt of F2RVLM or of its splitter.
- raw WeChat's: `{"dialogue_id", "dialogue": [{"utterance_idx", "speaker", "utterance"}]}`, where an
  utterance is a text or a list of pictures.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from colloquy.contracts.content import Dialogue, ImagePart, TextPart
from colloquy.protocols import f2rvlm
from colloquy.protocols.prompt import IMAGE
from colloquy.servicekit.faults import faults_of

Record = Mapping[str, Any]

# As the released code writes the two speakers of its data.
_SPEAKERS = {
    spelling: name
    for name, spellings in {
        "User1": ("user1", "user 1", "u1"),
        "User2": ("user2", "user 2", "u2"),
    }.items()
    for spelling in spellings
}


class NotADialogue(ValueError):
    """A record that is no dialogue.

    Attributes:
        at: the field, `utterances/3/content`; empty where the record as a whole is wrong.
    """

    def __init__(self, why: str, at: str = "") -> None:
        super().__init__(why)
        self.at = at


def dialogue_of(record: object) -> Dialogue:
    """The dialogue that a record holds, with an id: its own, or one made of its content.

    Raises:
        NotADialogue: it holds none; `at` names the field.
    """
    if not isinstance(record, Mapping):
        raise NotADialogue("is not a JSON object")
    made: Record
    if "messages" in record:
        made = _of_swift(record)
    elif isinstance(record.get("dialogue"), list):
        made = _of_wechat(record)
    else:
        inner = record.get("dialogue")
        made = inner if isinstance(inner, Mapping) else record
        if "utterances" not in made:
            raise NotADialogue(
                "is no dialogue: it has neither `utterances`, nor `messages`, nor a list `dialogue`"
            )
    try:
        dialogue = Dialogue.model_validate(made)
    except ValidationError as error:
        findings = [finding | {"loc": ("body", *finding["loc"])} for finding in error.errors()]
        first = faults_of(findings, made)[0]
        raise NotADialogue(first.why, first.at.removeprefix("body").removeprefix("/")) from error
    return dialogue if dialogue.id is not None else _named(dialogue)


def _named(dialogue: Dialogue) -> Dialogue:
    """The same content has the same id in every run, wherever it stands."""
    content = json.dumps(dialogue.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return dialogue.model_copy(update={"id": f"d-{digest[:20]}"})


# --- ms-swift's -------------------------------------------------------------------------------


def _of_swift(record: Record) -> dict[str, Any]:
    lines = sorted(f2rvlm.parse_lines(_user_turn(record["messages"])), key=lambda line: line.id)
    if not lines:
        raise NotADialogue("the user message holds no numbered utterances", "messages")
    first = lines[0].id
    for place, line in enumerate(lines):
        if line.id != first + place:
            raise NotADialogue(
                f"utterance {first + place} is missing, has no speaker or is there twice",
                "messages",
            )
    images = _paths(record.get("images"))
    places = sum(line.text.count(IMAGE) for line in lines)
    if places != len(images):
        raise NotADialogue(f"{places} `<image>` for {len(images)} images", "images")
    left = iter(images)
    turns = [
        {
            "speaker": line.speaker,
            "content": _interleaved(line.text, left),
            # A slice of a longer dialogue goes on counting; its numbers come back with every hit.
            "ref": str(line.id) if first else None,
        }
        for line in lines
    ]
    return {"id": _id(record), "utterances": turns}


def _user_turn(messages: object) -> str:
    if isinstance(messages, list):
        for message in messages:
            if isinstance(message, Mapping) and message.get("role") == "user":
                content = message.get("content")
                if isinstance(content, str):
                    return content
    raise NotADialogue("no user message with text", "messages")


def _paths(images: object) -> list[str]:
    """Paths as ms-swift writes them: as they are, or `{"bytes": null, "path": "…"}`."""
    if images is None:
        return []
    if not isinstance(images, list):
        raise NotADialogue("is not a list", "images")
    found = []
    for place, image in enumerate(images):
        path = image.get("path") if isinstance(image, Mapping) else image
        if not isinstance(path, str) or not path:
            raise NotADialogue("has no path", f"images/{place}")
        found.append(path)
    return found


def _interleaved(text: str, images: Any) -> str | list[dict[str, Any]]:
    if IMAGE not in text:
        return text
    parts: list[TextPart | ImagePart] = []
    for place, run in enumerate(text.split(IMAGE)):
        if place:
            parts.append(ImagePart.of(next(images)))
        if run:
            parts.append(TextPart(text=run))
    return [part.model_dump() for part in parts]


# --- raw WeChat's -----------------------------------------------------------------------------


def _of_wechat(record: Record) -> dict[str, Any]:
    turns = []
    for place, turn in enumerate(record["dialogue"]):
        at = f"dialogue/{place}"
        if not isinstance(turn, Mapping):
            raise NotADialogue("is not an object", at)
        number = turn.get("utterance_idx", place)
        turns.append(
            {
                "speaker": _speaker(turn.get("speaker", "User"), f"{at}/speaker"),
                "content": _utterance(turn.get("utterance"), f"{at}/utterance"),
                # Its own number comes back with every hit, even where it leaves gaps.
                "ref": None if number == place else str(number),
            }
        )
    return {"id": _id(record), "utterances": turns}


def _speaker(name: object, at: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise NotADialogue("is not a name", at)
    name = name.strip()
    return _SPEAKERS.get(name.lower(), name[:1].upper() + name[1:])


def _utterance(said: object, at: str) -> str | list[dict[str, Any]]:
    """A text as it is; pictures with a space between two, as the released code shows them."""
    if isinstance(said, str):
        return said
    if not isinstance(said, list) or not said:
        raise NotADialogue("is neither a text nor a list of pictures", at)
    parts: list[TextPart | ImagePart] = []
    for place, picture in enumerate(said):
        path = None
        if isinstance(picture, Mapping):
            path = picture.get("image_url") or picture.get("image") or picture.get("path")
        if not isinstance(path, str):
            raise NotADialogue("has no `image_url`", f"{at}/{place}")
        if parts:
            parts.append(TextPart(text=" "))
        parts.append(ImagePart.of(path))
    return [part.model_dump() for part in parts]


def _id(record: Record) -> str | None:
    given = record.get("dialogue_id")
    return None if given is None or given == "" else str(given)
