"""What can be read of a topic: the facts that its turns tell and its pictures show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from training.data.world import lexicon
from training.data.world.dialogues import Turn, WorldDialogue
from training.data.world.facts import Topic
from training.data.world.lexicon import Language

Facet = Literal[
    "item", "family", "event", "matter", "matter_family", "colour", "count", "style", "text",
    "person", "relation", "place", "shop", "day", "price",
]  # fmt: skip
FACETS: tuple[Facet, ...] = (
    "item", "family", "event", "matter", "matter_family", "colour", "count", "style", "text",
    "person", "relation", "place", "shop", "day", "price",
)  # fmt: skip
LITERAL: tuple[Facet, ...] = ("person", "place", "shop", "day", "price")
"""Facets that a query names as the dialogue does."""
Facets = dict[Facet, str]
"""Values are named in English, numbers in digits, people as they are called."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader of a topic's turns can know.

    Attributes:
        facets: the facts that a turn tells or a picture shows; others are left out.
        seen: the facets that pictures alone tell.
        beside: what pictures show of another thing than the topic's own.
    """

    facets: Facets
    seen: frozenset[Facet]
    beside: Facets = field(default_factory=dict)

    def satisfies(self, asked: Facets) -> bool:
        """Whether all the asked facets are told, of one thing."""
        return satisfies(self.facets, asked) or satisfies(self.beside, asked)

    def satisfies_by_picture(self, asked: Facets) -> bool:
        """Whether it takes a picture to know that all the asked facets are told."""
        if satisfies(self.facets, asked):
            return bool(self.seen & asked.keys())
        return satisfies(self.beside, asked)


def told(dialogue: WorldDialogue, number: int) -> Told:
    """Reads topic `number` of a dialogue."""
    turns = [dialogue.turns[turn] for turn in dialogue.turns_about(number)]
    return told_by(dialogue.topics[number], turns, dialogue.language)


def told_by(topic: Topic, turns: Sequence[Turn], language: Language) -> Told:
    """Reads the turns about a topic."""
    words = lexicon.load()
    texts = [turn.text for turn in turns if turn.text]
    pictures = [turn.picture for turn in turns if turn.picture]
    facets: Facets = {}
    seen: set[Facet] = set()
    beside: Facets = {}
    speaks = any(tells(text, language) for text in texts)
    if topic.matter and speaks:
        facets["matter"] = topic.matter
        facets["matter_family"] = topic.family
    if topic.item:
        name = words.items[topic.item].say(language)
        named = any(_says(text, name, language) for text in texts)
        if named or pictures:
            facets["item"] = topic.item
            facets["family"] = topic.family
        if pictures:
            facets |= {"colour": topic.colour, "count": str(topic.count)}
            seen |= {"colour", "count"}
            if topic.style != "plain":
                facets["style"] = topic.style
                seen.add("style")
            if not named:
                seen |= {"item", "family"}
        tags = {picture.text for picture in pictures if picture.text}
        if tags:
            facets["text"] = tags.pop()
            seen.add("text")
        if topic.event and speaks:
            facets["event"] = topic.event
    for picture in pictures:
        if picture.beside:
            thing, colour = picture.beside
            beside = {"item": thing, "family": words.items[thing].family, "colour": colour}
    for facet, value in literal_values(topic).items():
        if any(_says(text, value, language) for text in texts):
            facets[facet] = in_english(facet, value, language)
    if topic.relation and any(
        _says(text, words.relations[topic.relation].say(language), language) for text in texts
    ):
        facets["relation"] = topic.relation
    return Told(facets, frozenset(seen), beside)


def literal_values(topic: Topic) -> dict[Facet, str]:
    """The facets that lines name as they are, in the dialogue's language."""
    return {
        "person": topic.person, "place": topic.place, "shop": topic.shop, "day": topic.day,
        "price": str(topic.price),
    }  # fmt: skip


def tells(text: str, language: Language) -> bool:
    """Whether a line is about its topic: neither filler nor what comes with a picture."""
    return _without_opener(text, language) not in _idle(language)


def in_english(facet: Facet, value: str, language: Language) -> str:
    """Places, shops and days stand at the same position in both languages; people have one name."""
    lists = _lists(facet)
    return value if lists is None else lists["en"][lists[language].index(value)]


def spoken(facet: Facet, value: str, language: Language) -> str:
    """A literal facet's value as it is said; the inverse of `in_english`."""
    lists = _lists(facet)
    return value if lists is None else lists[language][lists["en"].index(value)]


def _lists(facet: Facet) -> dict[Language, tuple[str, ...]] | None:
    phrases = lexicon.load().phrases
    match facet:
        case "place":
            return {language: phrases[language].places for language in lexicon.LANGUAGES}
        case "shop":
            return {language: phrases[language].shops for language in lexicon.LANGUAGES}
        case "day":
            return {language: phrases[language].days for language in lexicon.LANGUAGES}
    return None


def satisfies(found: Facets, asked: Facets) -> bool:
    """Whether all the asked facets are found."""
    return all(found.get(facet) == value for facet, value in asked.items())


def _without_opener(text: str, language: Language) -> str:
    phrases = lexicon.load().phrases[language]
    for opener in (*phrases.openers, *phrases.openers_held_out):
        if text == opener:
            return ""
        if text.startswith(f"{opener}, "):
            return text[len(opener) + 2 :]
    return text


@cache
def _idle(language: Language) -> frozenset[str]:
    phrases = lexicon.load().phrases[language]
    return frozenset(
        ("", *phrases.fillers, *phrases.fillers_held_out, *phrases.shows, *phrases.shows_held_out)
    )


def _says(text: str, value: str, language: Language) -> bool:
    if language == "en" or value.isdecimal():
        return re.search(rf"(?<![a-z0-9]){re.escape(value)}(?![a-z0-9])", text) is not None
    return value in text
