"""The words of the world, read from `lexicon/*.yaml`.

What is said in dialogues and what is asked in queries are different words: no query repeats a
content word of the lines that answer it. Lists named `..._held_out` are never used in training.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent / "lexicon"
Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Family(Entry):
    """A hypernym: what several items or matters are; only queries use its words."""

    en: str
    zh: str

    def ask(self, language: Language) -> str:
        return self.en if language == "en" else self.zh


class Word(Entry):
    """One word as it is said in dialogues or captions (`en`, `zh`) and asked in queries."""

    en: str
    zh: str
    ask_en: str
    ask_zh: str

    def say(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def ask(self, language: Language) -> str:
        return self.ask_en if language == "en" else self.ask_zh


class Colour(Word):
    rgb: tuple[int, int, int]


class Item(Entry):
    """Something that can be drawn; `en`/`zh` are said in dialogues, `ask_*` only in queries.

    Attributes:
        plural_en: what two of them are called.
        measure_zh: the measure word between a number and `zh`.
        one_en: what one of them is called where that is not an article and `en`.
    """

    family: str
    en: str
    zh: str
    plural_en: str
    measure_zh: str
    one_en: str | None = None
    ask_en: tuple[str, ...]
    ask_zh: tuple[str, ...]

    def say(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def one(self) -> str:
        """One of them in English, with its article: a cat, an apple, a pair of glasses."""
        return self.one_en or f"{'an' if self.en[0] in 'aeiou' else 'a'} {self.en}"

    def ask(self, language: Language) -> tuple[str, ...]:
        return self.ask_en if language == "en" else self.ask_zh


class EventLines(Entry):
    """What is said of an event: `named` lines name the item, `plain` ones do not.

    Lines have the placeholders `{item}`, `{a_item}` (English only), `{person}`, `{place}`,
    `{day}`, `{price}` and `{shop}`; `ask` phrases have `{x}`.
    """

    named: tuple[str, ...]
    named_held_out: tuple[str, ...]
    plain: tuple[str, ...]
    plain_held_out: tuple[str, ...]
    ask: tuple[str, ...]
    ask_held_out: tuple[str, ...]


class Event(Entry):
    """What can happen to an item of any of `families`."""

    families: frozenset[str]
    en: EventLines
    zh: EventLines

    def lines(self, language: Language) -> EventLines:
        return self.en if language == "en" else self.zh


class MatterLines(Entry):
    """What is said of a matter (`lines`), and what queries call it (`ask`)."""

    lines: tuple[str, ...]
    lines_held_out: tuple[str, ...]
    ask: tuple[str, ...]
    ask_held_out: tuple[str, ...]


class Matter(Entry):
    """A topic without an item; `family` is a key of `Lexicon.matter_families`."""

    family: str
    en: MatterLines
    zh: MatterLines

    def words(self, language: Language) -> MatterLines:
        return self.en if language == "en" else self.zh


class Phrases(Entry):
    """Names, words that carry no topic, and the frames of queries in one language.

    `places`, `days` and `shops` have the same order in both languages.

    Attributes:
        speakers_shifted: names of speakers in the shifted test set.
        coloured: joins `{colour}` and `{x}`; likewise `styled`, `sized`, `counted` and `placed`,
            all of them for queries.
    """

    people: tuple[str, ...]
    people_held_out: tuple[str, ...]
    places: tuple[str, ...]
    days: tuple[str, ...]
    shops: tuple[str, ...]
    speakers_shifted: tuple[str, ...]
    fillers: tuple[str, ...]
    fillers_held_out: tuple[str, ...]
    shows: tuple[str, ...]
    shows_held_out: tuple[str, ...]
    openers: tuple[str, ...]
    openers_held_out: tuple[str, ...]
    frames: tuple[str, ...]
    frames_held_out: tuple[str, ...]
    picture_frames: tuple[str, ...]
    picture_frames_held_out: tuple[str, ...]
    coloured: str
    styled: str
    sized: str
    counted: str
    placed: str


class Lexicon(Entry):
    """Every word of the world, by key."""

    families: dict[str, Family]
    colours: dict[str, Colour]
    styles: dict[str, Word]
    counts: dict[str, Word]
    sizes: dict[str, Word]
    positions: dict[str, Word]
    relations: dict[str, Word]
    items: dict[str, Item]
    events: dict[str, Event]
    matter_families: dict[str, Family]
    matters: dict[str, Matter]
    phrases: dict[Language, Phrases]


@cache
def load() -> Lexicon:
    """Reads and checks every file of the lexicon."""
    things = _read("items")
    return Lexicon.model_validate(
        things | _read("matters") | {"events": _read("events"), "phrases": _read("phrases")}
    )


def _read(name: str) -> dict[str, object]:
    words = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(words, dict)
    return words
