"""What can be read of a topic, and queries that ask for several facets of it at once.

Queries over a single dialogue need one fact; among thousands of fragments it takes two or three.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from training.data.world import lexicon
from training.data.world.dialogues import Turn, WorldDialogue
from training.data.world.facts import Split, Topic, held_out
from training.data.world.lexicon import HELD_OUT_FRAMES, LANGUAGES, Language
from training.data.world.queries import NOVEL_FRAMES

Facet = Literal["item", "family", "event", "matter", "colour", "person", "place", "day", "price"]
FACETS: tuple[Facet, ...] = (
    "item", "family", "event", "matter", "colour", "person", "place", "day", "price",
)  # fmt: skip
LITERAL: tuple[Facet, ...] = ("person", "place", "day", "price")
Facets = dict[Facet, str]
"""Values are named in English, prices in digits, people as they are called."""

# How a literal facet is added: before the thing asked about in Chinese, behind it in English.
_ADDED: dict[Language, dict[Facet, tuple[str, ...]]] = {
    "en": {
        "person": ("with {v}", "and {v}"),
        "place": ("at the {v}", "near the {v}"),
        "day": ("on {v}",),
        "price": ("for {v}", "at a price of {v}"),
    },
    "zh": {
        "person": ("有{v}的", "和{v}一起的"),
        "place": ("在{v}的", "{v}附近的"),
        "day": ("{v}的",),
        "price": ("{v}块的",),
    },
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader of a topic's turns can know.

    Attributes:
        facets: the facts that a turn tells or a picture shows; others are left out.
        seen: the facets that pictures alone tell.
    """

    facets: Facets
    seen: frozenset[Facet]


def told(dialogue: WorldDialogue, number: int) -> Told:
    """Reads topic `number` of a dialogue."""
    turns = [dialogue.turns[turn] for turn in dialogue.turns_about(number)]
    return told_by(dialogue.topics[number], turns, dialogue.language)


def told_by(topic: Topic, turns: Sequence[Turn], language: Language) -> Told:
    """Reads the turns about a topic."""
    words = lexicon.load()
    texts = [turn.text for turn in turns if turn.text]
    shown = any(turn.picture for turn in turns)
    facets: Facets = {}
    seen: set[Facet] = set()
    speaks = any(_tells(text, language) for text in texts)
    if topic.matter and speaks:
        facets["matter"] = topic.matter
    if topic.item:
        name = words.items[topic.item].say(language)
        named = any(_says(text, name, language) for text in texts)
        if named or shown:
            facets["item"] = topic.item
            facets["family"] = words.items[topic.item].family
        if shown:
            facets["colour"] = topic.colour
            seen.add("colour")
            if not named:
                seen |= {"item", "family"}
        if topic.event and speaks:
            facets["event"] = topic.event
    for facet, value in (
        ("person", topic.person), ("place", topic.place), ("day", topic.day),
        ("price", str(topic.price)),
    ):  # fmt: skip
        if any(_says(text, value, language) for text in texts):
            facets[facet] = _english(facet, value, language)
    return Told(facets, frozenset(seen))


def ask(
    facets: Facets, language: Language, rng: random.Random, split: Split, *, picture: bool = False
) -> tuple[str, bool]:
    """Writes a query for some facets, in words that do not occur in dialogues but the literal ones.

    Args:
        picture: ask for a picture, in half of the cases.

    Returns:
        The query, and whether it uses a frame or a combination that training never showed.
    """
    words = lexicon.load()
    phrases = words.phrases[language]
    about = _thing(facets, language, rng)
    if "event" in facets:
        asks = words.events[facets["event"]].lines(language).ask
        about = rng.choice(asks).format(x=about)
    elif "matter" in facets:
        about = rng.choice(words.matters[facets["matter"]].words(language).ask)
    literal = [facet for facet in LITERAL if facet in facets]
    rng.shuffle(literal)
    for facet in literal:
        value = _spoken(facet, facets[facet], language)
        added = rng.choice(_ADDED[language][facet]).format(v=value)
        about = f"{about} {added}" if language == "en" else f"{added}{about}"
    frames = phrases.picture_frames if picture and rng.random() < 0.5 else phrases.frames
    common, rare = frames[:-HELD_OUT_FRAMES], frames[-HELD_OUT_FRAMES:]
    strange = split != "train" and rng.random() < NOVEL_FRAMES
    text = rng.choice(rare if strange else common).format(x=about)
    return text, strange or _is_held_out(facets)


def satisfies(found: Facets, asked: Facets) -> bool:
    """Whether all the asked facets are told."""
    return all(found.get(facet) == value for facet, value in asked.items())


def choose(told_of: Told, rng: random.Random, wanted: Sequence[Facet]) -> Facets | None:
    """The wanted facets of a topic, or None where one of them is not told."""
    if any(facet not in told_of.facets for facet in wanted):
        return None
    chosen: Facets = {facet: told_of.facets[facet] for facet in wanted}
    if "item" in chosen and "event" in chosen and rng.random() < 0.1:
        del chosen["item"]
        chosen["family"] = told_of.facets["family"]
    return chosen


def other(language: Language) -> Language:
    return next(name for name in LANGUAGES if name != language)


def _thing(facets: Facets, language: Language, rng: random.Random) -> str:
    """The item or its family, coloured where the colour is asked; else a pronoun."""
    words = lexicon.load()
    if "item" in facets:
        thing = rng.choice(words.items[facets["item"]].ask(language))
    elif "family" in facets:
        family = words.families[facets["family"]]
        thing = family.en if language == "en" else family.zh
    else:
        thing = "something" if language == "en" else "某样东西"
    if "colour" in facets:
        colour = words.colours[facets["colour"]].ask(language)
        thing = words.phrases[language].coloured.format(colour=colour, x=thing)
    return thing


def _is_held_out(facets: Facets) -> bool:
    item = facets.get("item")
    if item is None:
        return False
    pairs = [facets[facet] for facet in ("event", "colour") if facet in facets]
    return any(held_out(item, value) for value in pairs)


def _tells(text: str, language: Language) -> bool:
    """Whether a line is about its topic: neither filler nor what comes with a picture."""
    return _without_opener(text, language) not in _idle(language)


def _without_opener(text: str, language: Language) -> str:
    for opener in lexicon.load().phrases[language].openers:
        if text == opener:
            return ""
        if text.startswith(f"{opener}, "):
            return text[len(opener) + 2 :]
    return text


@cache
def _idle(language: Language) -> frozenset[str]:
    phrases = lexicon.load().phrases[language]
    return frozenset(("", *phrases.fillers, *phrases.shows))


def _says(text: str, value: str, language: Language) -> bool:
    if language == "en" or value.isdecimal():
        return re.search(rf"(?<![a-z0-9]){re.escape(value)}(?![a-z0-9])", text) is not None
    return value in text


def _english(facet: str, value: str, language: Language) -> str:
    """Places and days stand at the same position in both languages; people have one name."""
    if facet not in ("place", "day"):
        return value
    phrases = lexicon.load().phrases
    mine = phrases[language].places if facet == "place" else phrases[language].days
    theirs = phrases["en"].places if facet == "place" else phrases["en"].days
    return theirs[mine.index(value)]


def _spoken(facet: str, value: str, language: Language) -> str:
    if facet not in ("place", "day") or language == "en":
        return value
    phrases = lexicon.load().phrases
    if facet == "place":
        return phrases["zh"].places[phrases["en"].places.index(value)]
    return phrases["zh"].days[phrases["en"].days.index(value)]
