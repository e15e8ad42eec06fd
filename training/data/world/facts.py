"""Facts come first: what a stretch of dialogue is about, before any word of it is written."""

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from training.data.world import lexicon
from training.data.world.lexicon import Language

Split = Literal["train", "validation", "test"]

PRICES = (5, 8, 12, 15, 20, 30, 45, 60, 80, 99)


@dataclass(frozen=True, slots=True)
class Topic:
    """What one stretch of talk is about: an event that happens to an item, or a matter.

    Attributes:
        item, event: set together, else None.
        matter: set when item and event are not.
        colour: of the item, where it is shown.
        pictured: the item is shown and never named.
    """

    item: str | None
    event: str | None
    matter: str | None
    colour: str
    pictured: bool
    person: str
    place: str
    day: str
    price: int


def held_out(*parts: str, share: float = 0.15) -> bool:
    """Whether a combination of attributes is kept out of the training data."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def draw_topics(rng: random.Random, language: Language, split: Split, count: int) -> list[Topic]:
    """Draws topics that differ, sometimes in one respect only, so that both halves matter."""
    topics: list[Topic] = []
    while len(topics) < count:
        topic = _topic(rng, language)
        if topics and topics[0].item and rng.random() < 0.45:
            topic = _near(rng, topic, rng.choice(topics))
        if _allowed(topic, split) and all(_distinct(topic, other) for other in topics):
            topics.append(topic)
    return topics


def draw_absent(rng: random.Random, language: Language, present: list[Topic]) -> Topic:
    """Draws a topic that no stretch is about; often it shares an item or an event with one."""
    while True:
        topic = _topic(rng, language)
        if rng.random() < 0.5:
            topic = _near(rng, topic, rng.choice(present))
        if all(_distinct(topic, other) and _unlike(topic, other) for other in present):
            return topic


def _topic(rng: random.Random, language: Language) -> Topic:
    words = lexicon.load()
    phrases = words.phrases[language]
    item = event = matter = None
    pictured = False
    if rng.random() < 0.25:
        matter = rng.choice(sorted(words.matters))
    else:
        item = rng.choice(sorted(words.items))
        fitting = [
            k for k in sorted(words.events) if words.items[item].family in words.events[k].families
        ]
        event = rng.choice(fitting)
        pictured = rng.random() < 0.45
    return Topic(
        item=item,
        event=event,
        matter=matter,
        colour=rng.choice(sorted(words.colours)),
        pictured=pictured,
        person=rng.choice(phrases.people),
        place=rng.choice(phrases.places),
        day=rng.choice(phrases.days),
        price=rng.choice(PRICES),
    )


def _near(rng: random.Random, topic: Topic, other: Topic) -> Topic:
    """Bends `topic` so that it shares its item or its event with `other`."""
    if topic.item is None or other.item is None:
        return topic
    words = lexicon.load()
    item, event = (other.item, topic.event) if rng.random() < 0.4 else (topic.item, other.event)
    assert event is not None
    if words.items[item].family not in words.events[event].families:
        return topic
    return Topic(
        item, event, None, topic.colour, topic.pictured,
        topic.person, topic.place, topic.day, topic.price,
    )  # fmt: skip


def _allowed(topic: Topic, split: Split) -> bool:
    """Keeps held-out combinations out of training, and common in the other splits."""
    if topic.item is None or topic.event is None or split != "train":
        return True
    if held_out(topic.item, topic.event):
        return False
    return not held_out(topic.item, topic.colour)


def _distinct(one: Topic, other: Topic) -> bool:
    if one.matter or other.matter:
        return one.matter != other.matter
    return (one.item, one.event) != (other.item, other.event)


def _unlike(absent: Topic, present: Topic) -> bool:
    """An absent picture must not be asked by an item that is there in another picture."""
    return absent.item is None or absent.item != present.item or absent.event != present.event
