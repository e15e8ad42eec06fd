"""Asks about a dialogue in words that do not occur in it."""

import random
from dataclasses import dataclass
from typing import Literal

from training.data.world import asking, facets, lexicon
from training.data.world.dialogues import WorldDialogue
from training.data.world.facets import Facet, Facets, Told
from training.data.world.facts import Split, draw_absent
from training.data.world.lexicon import Language

AnsweredBy = Literal["text", "picture", "nothing"]
EMPTY = 0.14
FOREIGN = 0.12  # share of queries in the other language
WRONG_LOOK = 0.25  # share of the empty queries that ask for a look which the thing does not have

# What a query asks, with how often; the second kinds ask for a picture.
_KINDS: tuple[tuple[tuple[Facet, ...], int], ...] = (
    (("matter",), 40),
    (("matter_family",), 5),
    (("item", "event"), 24),
    (("item",), 10),
    (("event",), 6),
    (("family", "event"), 3),
    (("family",), 6),
)
_PICTURE_KINDS: tuple[tuple[tuple[Facet, ...], int], ...] = (
    (("item",), 10),
    (("item", "colour"), 11),
    (("item", "count"), 4),
    (("item", "style"), 4),
    (("family",), 2),
    (("text",), 1),
)


@dataclass(frozen=True, slots=True)
class WorldQuery:
    """A query and its gold: the turns and images of every fragment that answers it.

    Attributes:
        facets: what is asked.
        topics: those that tell all of it, ascending; empty where nothing does.
        answered_by: "picture" where it takes one to know that some of the topics answer.
        novel: uses a wording or a combination that training never shows.
    """

    text: str
    language: Language
    answered_by: AnsweredBy
    facets: Facets
    topics: tuple[int, ...]
    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...]
    novel: bool


def make_queries(
    dialogue: WorldDialogue, rng: random.Random, split: Split, count: int
) -> list[WorldQuery]:
    """Draws `count` queries, about different topics as far as these reach."""
    told = [facets.told(dialogue, number) for number in range(len(dialogue.topics))]
    order = list(range(len(told)))
    rng.shuffle(order)
    queries = []
    for number in range(count):
        topic = order[number % len(order)]
        if rng.random() < EMPTY:
            asked, picture = _absent(dialogue, told, rng, split)
        else:
            asked, picture = _present(told, topic, rng)
        queries.append(_query(dialogue, told, asked, rng, split, picture=picture))
    return queries


def _query(
    dialogue: WorldDialogue,
    told: list[Told],
    asked: Facets,
    rng: random.Random,
    split: Split,
    *,
    picture: bool,
) -> WorldQuery:
    language = dialogue.language
    if rng.random() < FOREIGN:
        language = asking.other(language)
    text, novel = asking.ask(asked, language, rng, split, picture=picture)
    topics = tuple(number for number, one in enumerate(told) if one.satisfies(asked))
    turns = sorted(turn for topic in topics for turn in dialogue.turns_about(topic))
    answered_by: AnsweredBy = "nothing"
    if topics:
        seen = any(told[topic].satisfies_by_picture(asked) for topic in topics)
        answered_by = "picture" if seen else "text"
    return WorldQuery(
        text=text,
        language=language,
        answered_by=answered_by,
        facets=asked,
        topics=topics,
        utterance_ids=tuple(turns),
        image_ids=tuple(dialogue.images_in(turns)),
        novel=novel,
    )


def _present(told: list[Told], topic: int, rng: random.Random) -> tuple[Facets, bool]:
    """What to ask about a topic, and whether to ask for a picture."""
    mine = told[topic]
    shown = "colour" in mine.facets
    picture = shown and rng.random() < (0.6 if "item" in mine.seen else 0.3)
    asked = _chosen(mine.facets, rng, picture=picture)
    if picture and any(one.satisfies(asked) and not _shows(one, asked) for one in told):
        # Another topic tells of the thing without showing it: a picture is not what is asked.
        return _chosen(mine.facets, rng, picture=False), False
    return asked, picture


def _shows(told: Told, asked: Facets) -> bool:
    return facets.satisfies(told.beside, asked) or "colour" in told.facets


def _chosen(mine: Facets, rng: random.Random, *, picture: bool) -> Facets:
    kinds = _PICTURE_KINDS if picture else _KINDS
    possible = [
        (kind, often)
        for kind, often in kinds
        if all(facet in mine for facet in kind) and not ("count" in kind and mine["count"] == "1")
    ]
    chosen = rng.choices([kind for kind, _ in possible], [often for _, often in possible])[0]
    return {facet: mine[facet] for facet in chosen}


def _absent(
    dialogue: WorldDialogue, told: list[Told], rng: random.Random, split: Split
) -> tuple[Facets, bool]:
    """What nothing in the dialogue answers, often one word away from something that is there."""
    while True:
        if rng.random() < WRONG_LOOK:
            asked, picture = _wrong_look(rng.choice(told), rng), True
        else:
            topic = draw_absent(rng, dialogue.language, split, list(dialogue.topics))
            asked, picture = {}, False
            if topic.matter:
                asked = {"matter": topic.matter}
            elif topic.item and topic.event:
                picture = rng.random() < 0.3
                asked = {"item": topic.item}
                if not picture and rng.random() < 0.7:
                    asked["event"] = topic.event
                elif picture and rng.random() < 0.5:
                    asked["colour"] = topic.colour
        if split == "train" and asking.is_held_out(asked):
            continue
        if asked and not any(one.satisfies(asked) for one in told):
            return asked, picture


def _wrong_look(told: Told, rng: random.Random) -> Facets:
    """The thing of a picture in another look; empty where none is shown."""
    words = lexicon.load()
    if "colour" not in told.facets:
        return {}
    facet: Facet = rng.choice(("colour", "colour", "count", "style"))
    values = {"colour": words.colours, "count": words.counts, "style": words.styles}[facet]
    value = rng.choice(sorted(values))
    return {"item": told.facets["item"], facet: value}
