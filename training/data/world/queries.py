"""Asks about a dialogue in words that do not occur in it."""

import random
from dataclasses import dataclass
from typing import Literal

from training.data.world import lexicon
from training.data.world.dialogues import WorldDialogue
from training.data.world.facts import Split, Topic, draw_absent, held_out
from training.data.world.lexicon import HELD_OUT_FRAMES, LANGUAGES, Language

AnsweredBy = Literal["text", "picture", "nothing"]
EMPTY = 0.13
FOREIGN = 0.12  # share of queries in the other language
NOVEL_FRAMES = 0.4  # share of held-out queries in a frame that training never showed


@dataclass(frozen=True, slots=True)
class WorldQuery:
    """A query and its gold: the turns and images of the fragment that answers it.

    Attributes:
        novel: uses a frame or a combination that training never showed.
    """

    text: str
    language: Language
    answered_by: AnsweredBy
    topic: int | None
    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...]
    novel: bool


def make_queries(
    dialogue: WorldDialogue, rng: random.Random, split: Split, count: int
) -> list[WorldQuery]:
    """Draws `count` queries, about different topics as far as these reach."""
    order = list(range(len(dialogue.topics)))
    rng.shuffle(order)
    queries = []
    for number in range(count):
        if rng.random() < EMPTY:
            queries.append(_empty(dialogue, rng, split))
        else:
            queries.append(_answered(dialogue, order[number % len(order)], rng, split))
    return queries


def _answered(dialogue: WorldDialogue, number: int, rng: random.Random, split: Split) -> WorldQuery:
    topic = dialogue.topics[number]
    language = _language(dialogue, rng)
    turns = dialogue.turns_about(number)
    images = dialogue.images_in(turns)
    others = [other for place, other in enumerate(dialogue.topics) if place != number]
    by_picture = topic.pictured and bool(images)
    text, novel = _ask(topic, others, language, rng, split, by_picture=by_picture)
    return WorldQuery(
        text=text,
        language=language,
        answered_by="picture" if by_picture else "text",
        topic=number,
        utterance_ids=tuple(turns),
        image_ids=tuple(images),
        novel=novel,
    )


def _empty(dialogue: WorldDialogue, rng: random.Random, split: Split) -> WorldQuery:
    language = _language(dialogue, rng)
    topic = draw_absent(rng, dialogue.language, list(dialogue.topics))
    text, novel = _ask(topic, list(dialogue.topics), language, rng, split, by_picture=False)
    return WorldQuery(text, language, "nothing", None, (), (), novel)


def _language(dialogue: WorldDialogue, rng: random.Random) -> Language:
    if rng.random() < FOREIGN:
        return next(other for other in LANGUAGES if other != dialogue.language)
    return dialogue.language


def _ask(
    topic: Topic,
    others: list[Topic],
    language: Language,
    rng: random.Random,
    split: Split,
    *,
    by_picture: bool,
) -> tuple[str, bool]:
    """Writes a query about `topic` that is about none of `others`; also whether it is novel."""
    words = lexicon.load()
    phrases = words.phrases[language]
    if topic.matter:
        about = rng.choice(words.matters[topic.matter].words(language).ask)
        text, novel = _framed(about, phrases.frames, rng, split)
        return text, novel
    assert topic.item
    assert topic.event
    thing = rng.choice(words.items[topic.item].ask(language))
    item_alone = all(other.item != topic.item for other in others)
    event_alone = all(other.event != topic.event for other in others)
    family = words.items[topic.item].family
    family_alone = all(
        other.item is None or words.items[other.item].family != family for other in others
    )
    if family_alone and rng.random() < 0.15:
        thing = words.families[family].en if language == "en" else words.families[family].zh
    novel = held_out(topic.item, topic.event)
    frames = phrases.frames
    if by_picture and item_alone and rng.random() < 0.6:
        about = thing
        frames = phrases.picture_frames
        if rng.random() < 0.5:
            colour = words.colours[topic.colour].ask(language)
            about = phrases.coloured.format(colour=colour, x=thing)
            novel = held_out(topic.item, topic.colour)
    elif event_alone and not by_picture and rng.random() < 0.15:
        pronoun = "something" if language == "en" else "某样东西"
        about = _event(topic.event, language, pronoun, rng)
    elif item_alone and rng.random() < 0.35:
        about = thing
    else:
        about = _event(topic.event, language, thing, rng)
    text, novel_frame = _framed(about, frames, rng, split)
    return text, novel or novel_frame


def _event(event: str, language: Language, thing: str, rng: random.Random) -> str:
    return rng.choice(lexicon.load().events[event].lines(language).ask).format(x=thing)


def _framed(
    about: str, frames: tuple[str, ...], rng: random.Random, split: Split
) -> tuple[str, bool]:
    common, rare = frames[:-HELD_OUT_FRAMES], frames[-HELD_OUT_FRAMES:]
    novel = split != "train" and rng.random() < NOVEL_FRAMES
    return rng.choice(rare if novel else common).format(x=about), novel
