"""A dialogue and what it is made of: the public form, in OpenAI's content parts."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from colloquy.contracts.contract import Contract

UNNUMBERED = -1
MAX_TURNS = 5_000
MAX_PARTS = 64
MAX_TEXT_CHARACTERS = 100_000

Number = Annotated[float, Field(allow_inf_nan=False)]
Value = Annotated[str, Field(max_length=4_096)] | bool | int | Number


class ImageUrl(Contract):
    """Where a picture is: `data:` and `https:` outside the gateway, `blob:` behind it."""

    url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high"] = "auto"


class TextPart(Contract):
    type: Literal["text"] = "text"
    text: str = Field(max_length=MAX_TEXT_CHARACTERS)


class ImagePart(Contract):
    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl

    @classmethod
    def of(cls, url: str) -> Self:
        return cls(image_url=ImageUrl(url=url))


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _kind_of_content(value: Any) -> Literal["text", "parts"] | None:
    if isinstance(value, str):
        return "text"
    return "parts" if isinstance(value, list | tuple) else None


# Told apart by hand, so that a fault names one place and not one for each way it may be read.
Content = Annotated[
    Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS), Tag("text")]
    | Annotated[list[Part], Field(min_length=1, max_length=MAX_PARTS), Tag("parts")],
    Discriminator(
        _kind_of_content,
        custom_error_type="content",
        custom_error_message="Content is a string or a list of content parts",
    ),
]


class Utterance(Contract):
    """One turn. `ref` is the caller's own message id; it comes back with every hit."""

    id: int = Field(
        default=UNNUMBERED,
        ge=UNNUMBERED,
        strict=True,
        description="Position in the dialogue; may be left out.",
    )
    ref: str | None = Field(default=None, max_length=256)
    speaker: str = Field(min_length=1, max_length=64)
    time: datetime | None = None
    content: Content

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        """The content as parts, whichever way it was written."""
        return [TextPart(text=self.content)] if isinstance(self.content, str) else self.content

    @property
    def images(self) -> list[str]:
        if isinstance(self.content, str):
            return []
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]


class Dialogue(Contract):
    """One conversation. Utterance ids run from 0; pictures are numbered in order through it."""

    id: str | None = Field(default=None, min_length=1, max_length=256)
    metadata: dict[Annotated[str, Field(max_length=128)], Value] = Field(
        default_factory=dict, max_length=64
    )
    acl: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=list, max_length=64
    )
    utterances: list[Utterance] = Field(min_length=1, max_length=MAX_TURNS)

    @model_validator(mode="before")
    @classmethod
    def number_the_turns(cls, data: Any) -> Any:
        """Gives each turn without an id its position; a wrong id is reported, never repaired.

        A turn that is no turn at all, or whose id is no whole number, is left to its own checks,
        which name the place.
        """
        if not isinstance(data, dict) or not isinstance(data.get("utterances"), list):
            return data
        turns = []
        for position, turn in enumerate(data["utterances"]):
            given = _given_id(turn)
            if given is None and isinstance(turn, dict):
                turn = {**turn, "id": position}
            elif given is None and isinstance(turn, Utterance):
                turn = turn.model_copy(update={"id": position})
            elif type(given) is int and given != position:
                raise ValueError(
                    f"utterances/{position}/id is {_short(given)}, but ids run from 0 without gaps "
                    f"or repeats, so {position} is expected (or leave ids out)"
                )
            turns.append(turn)
        return {**data, "utterances": turns}

    @property
    def images(self) -> list[str]:
        """Every picture, in order; the position is the image id."""
        return [image for utterance in self.utterances for image in utterance.images]

    def image_owners(self) -> list[int]:
        """The utterance id that shows each picture, by image id."""
        return [turn.id for turn in self.utterances for _ in turn.images]

    def texts(self) -> Iterator[str]:
        for turn in self.utterances:
            for part in turn.parts:
                if isinstance(part, TextPart):
                    yield part.text


def _given_id(turn: Any) -> Any:
    if isinstance(turn, Utterance):
        return None if turn.id == UNNUMBERED else turn.id
    return turn.get("id") if isinstance(turn, dict) else None


def _short(number: int) -> str:
    """A message stays one readable line, whatever number was sent."""
    return str(number) if abs(number) < 10**12 else "a number far outside the dialogue"
