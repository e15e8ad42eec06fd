"""Facts come first: what a stretch of dialogue is about, before any word of it is written."""

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Literal

from training.data.world import lexicon
from training.data.world.lexicon import Language

Split = Literal["train", "validation", "test", "shifted"]

PRICES = (5, 8, 12, 15, 20, 30, 45, 60, 80, 99)
MATTERS = 0.25  # share of topics without a thing
PICTURED = 0.45  # share of things that are shown and never named
NEAR = 0.45  # share of topics that share a thing or an event with another of the dialogue
RELATED = 0.3  # share of topics in which a person is somebody's sister, colleague, …
NOVEL_PEOPLE = 0.4  # share of people in held-out data whose names training never shows


@dataclass(frozen=True, slots=True)
class Topic:
    """What one stretch of talk is about: an event that happens to an item, or a matter.

    Attributes:
        item, event: set together, else None.
        matter: set when item and event are not.
        colour, count, style: of the item, where it is shown; more than one only where it is not
            named.
        pictured: the item is shown and never named.
        beside: another thing and its colour, which pictures of the item show too.
        relation: what the person is to whoever speaks, or None.
    """

    item: str | None
    event: str | None
    matter: str | None
    colour: str
    count: int
    style: Literal["plain", "striped", "dotted"]
    pictured: bool
    beside: tuple[str, str] | None
    person: str
    relation: str | None
    place: str
    shop: str
    day: str
    price: int

    @property
    def family(self) -> str:
        """The family of the item or of the matter."""
        words = lexicon.load()
        if self.item:
            return words.items[self.item].family
        assert self.matter
        return words.matters[self.matter].family


def held_out(*parts: str, share: float = 0.15) -> bool:
    """Whether a combination of attributes is kept out of the training data."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def draw_topics(rng: random.Random, language: Language, split: Split, count: int) -> list[Topic]:
    """Draws topics that differ, sometimes in one respect only, so that both halves matter."""
    topics: list[Topic] = []
    while len(topics) < count:
        topic = draw_topic(rng, language, split)
        if topics and rng.random() < NEAR:
            topic = _near(rng, topic, rng.choice(topics))
        if allowed(topic, topics, split) and all(_distinct(topic, other) for other in topics):
            topics.append(topic)
    return topics


def draw_absent(
    rng: random.Random, language: Language, split: Split, present: list[Topic]
) -> Topic:
    """Draws a topic that no stretch is about; often it shares an item or an event with one."""
    while True:
        topic = draw_topic(rng, language, split)
        if rng.random() < 0.5:
            topic = _near(rng, topic, rng.choice(present))
        if allowed(topic, [], split) and all(_distinct(topic, other) for other in present):
            return topic


def draw_topic(rng: random.Random, language: Language, split: Split) -> Topic:
    """Draws a topic on its own; the caller asks `allowed`."""
    words = lexicon.load()
    phrases = words.phrases[language]
    item = event = matter = None
    pictured = False
    beside = None
    if rng.random() < MATTERS:
        matter = rng.choice(sorted(words.matters))
    else:
        item = rng.choice(sorted(words.items))
        event = rng.choice(events_of(words.items[item].family))
        pictured = rng.random() < PICTURED
        if rng.random() < 0.15:
            beside = (rng.choice(sorted(words.items)), rng.choice(sorted(words.colours)))
            beside = None if words.items[beside[0]].family == words.items[item].family else beside
    alone = beside is None and pictured
    novel = split != "train" and rng.random() < NOVEL_PEOPLE
    return Topic(
        item=item,
        event=event,
        matter=matter,
        colour=rng.choice(sorted(words.colours)),
        count=rng.choice((1, 1, 1, 2, 3)) if alone else 1,
        style=rng.choice(("plain", "plain", "plain", "striped", "dotted")),
        pictured=pictured,
        beside=beside,
        person=rng.choice(phrases.people_held_out if novel else phrases.people),
        relation=rng.choice(sorted(words.relations)) if rng.random() < RELATED else None,
        place=rng.choice(phrases.places),
        shop=rng.choice(phrases.shops),
        day=rng.choice(phrases.days),
        price=rng.choice(PRICES),
    )


def events_of(family: str) -> list[str]:
    """The events that can happen to things of a family, sorted."""
    events = lexicon.load().events
    return [name for name in sorted(events) if family in events[name].families]


def allowed(topic: Topic, others: list[Topic], split: Split) -> bool:
    """Keeps held-out combinations out of training; the other splits have them as they come.

    Args:
        others: the topics of the same dialogue; some families never meet in training.
    """
    if split != "train":
        return True
    if topic.item and topic.event:
        if held_out(topic.item, topic.event) or held_out(topic.item, topic.colour):
            return False
        if topic.beside and held_out(*topic.beside):
            return False
    return not any(never_meet(topic.family, other.family) for other in others)


def never_meet(one: str, other: str) -> bool:
    """Whether two families are kept from meeting in a training dialogue."""
    return one != other and held_out("mixture", *sorted((one, other)))


def _near(rng: random.Random, topic: Topic, other: Topic) -> Topic:
    """Bends `topic` so that it shares its item or its event with `other`, where that fits."""
    if topic.item is None or other.item is None:
        return topic
    words = lexicon.load()
    item, event = (other.item, topic.event) if rng.random() < 0.4 else (topic.item, other.event)
    assert event is not None
    family = words.items[item].family
    if family not in words.events[event].families:
        return topic
    bent = replace(topic, item=item, event=event)
    if bent.beside and words.items[bent.beside[0]].family == family:
        bent = replace(bent, beside=None)
    return bent


def _distinct(one: Topic, other: Topic) -> bool:
    if one.matter or other.matter:
        return one.matter != other.matter
    return (one.item, one.event) != (other.item, other.event)
