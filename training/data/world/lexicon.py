"""The words of the world, read from `lexicon/*.yaml`."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent / "lexicon"
Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
HELD_OUT_FRAMES = 2  # the last frames of every list are for held-out data only


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Family(Entry):
    en: str
    zh: str


class Colour(Entry):
    rgb: tuple[int, int, int]
    en: str
    zh: str
    ask_en: str
    ask_zh: str

    def ask(self, language: Language) -> str:
        return self.ask_en if language == "en" else self.ask_zh


class Item(Entry):
    """Something that can be drawn; `en`/`zh` are said in dialogues, `ask_*` only in queries."""

    family: str
    en: str
    zh: str
    ask_en: tuple[str, ...]
    ask_zh: tuple[str, ...]

    def say(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def ask(self, language: Language) -> tuple[str, ...]:
        return self.ask_en if language == "en" else self.ask_zh


class EventLines(Entry):
    named: tuple[str, ...]
    plain: tuple[str, ...]
    ask: tuple[str, ...]


class Event(Entry):
    families: frozenset[str]
    en: EventLines
    zh: EventLines

    def lines(self, language: Language) -> EventLines:
        return self.en if language == "en" else self.zh


class MatterLines(Entry):
    lines: tuple[str, ...]
    ask: tuple[str, ...]


class Matter(Entry):
    en: MatterLines
    zh: MatterLines

    def words(self, language: Language) -> MatterLines:
        return self.en if language == "en" else self.zh


class Phrases(Entry):
    people: tuple[str, ...]
    places: tuple[str, ...]
    days: tuple[str, ...]
    fillers: tuple[str, ...]
    shows: tuple[str, ...]
    openers: tuple[str, ...]
    frames: tuple[str, ...]
    picture_frames: tuple[str, ...]
    coloured: str


class Lexicon(Entry):
    families: dict[str, Family]
    colours: dict[str, Colour]
    items: dict[str, Item]
    events: dict[str, Event]
    matters: dict[str, Matter]
    phrases: dict[Language, Phrases]


@cache
def load() -> Lexicon:
    """Reads and checks every file of the lexicon."""
    things = _read("items")
    return Lexicon.model_validate(
        things
        | {"events": _read("events"), "matters": _read("matters"), "phrases": _read("phrases")}
    )


def _read(name: str) -> dict[str, object]:
    words = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(words, dict)
    return words
