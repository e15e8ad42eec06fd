"""A query with a fragment that answers it and others that nearly do."""

import random
from dataclasses import dataclass, replace

from training.data import pairs
from training.data.pairs import Query
from training.data.world import facets, lexicon, splits
from training.data.world.dialogues import Turn, make_stretch
from training.data.world.facets import LITERAL, Facet
from training.data.world.facts import Topic, held_out
from training.data.world.lexicon import LANGUAGES, Language

BENT, NEIGHBOUR = 0.72, 0.12  # shares of the wrong candidates; the rest are of any dialogue
TRIES = 30


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reranker sees: one right candidate, and wrong ones."""

    query: Query
    right: tuple[Turn, ...]
    wrong: tuple[tuple[Turn, ...], ...]


def make_judgement(
    rng: random.Random, wrong: int, *, pictures: float = 0.0, bent: float = BENT
) -> Judgement:
    """Draws a query of the training split and `wrong` candidates that do not answer it.

    Args:
        pictures: share of the queries that show a picture, where the fragment has one.
        bent: share of the wrong candidates that lack but one or two of what is asked.
    """
    while True:
        entry = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]), queries=0)
        dialogue = entry.dialogue
        number = rng.randrange(len(dialogue.topics))
        pair = pairs.make_pair(dialogue, number, rng, pictures=pictures)
        if pair is not None:
            break
    topic = dialogue.topics[number]
    others = [place for place in range(len(dialogue.topics)) if place != number]
    chosen: list[tuple[Turn, ...]] = []
    while len(chosen) < wrong:
        kind = rng.random()
        if kind < bent:
            made = _bent(topic, pair.query, dialogue.language, rng)
        elif kind < bent + NEIGHBOUR:
            place = rng.choice(others)
            made = _unless_right(
                pair.query,
                pairs.fragment_turns(dialogue, place, rng, cropped=0.0),
                facets.told(dialogue, place),
            )
        else:
            far = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]), queries=0)
            place = rng.randrange(len(far.dialogue.topics))
            made = _unless_right(
                pair.query,
                pairs.fragment_turns(far.dialogue, place, rng),
                facets.told(far.dialogue, place),
            )
        if made is not None:
            chosen.append(made)
    return Judgement(pair.query, pair.turns, tuple(chosen))


def _unless_right(
    query: Query, turns: tuple[Turn, ...], told: facets.Told
) -> tuple[Turn, ...] | None:
    return None if facets.satisfies(told.facets, query.facets) else turns


def _bent(
    topic: Topic, query: Query, language: Language, rng: random.Random
) -> tuple[Turn, ...] | None:
    """Talk of a topic that has all but one, or all but two, of what is asked."""
    asked = sorted(query.facets)
    count = 2 if len(asked) > 1 and rng.random() < 0.25 else 1
    changed = rng.sample(asked, count)
    shared = [facet for facet in asked if facet not in changed]
    if rng.random() < 0.12 and not {"person"} & set(asked):
        language = rng.choice(LANGUAGES)
    for _ in range(TRIES):
        bent = _localised(topic, language, rng)
        for facet in changed:
            bent = _with_other(bent, facet, language, rng)
        if not _is_possible(bent):
            continue
        turns = make_stretch(rng, bent, language, rng.randint(3, 12))
        told = facets.told_by(bent, turns, language).facets
        if facets.satisfies(told, query.facets):
            continue
        # What the query asks besides must be told, else the candidate is easily dismissed.
        if all(told.get(facet) == query.facets[facet] for facet in shared):
            return turns
    return None


def _localised(topic: Topic, language: Language, rng: random.Random) -> Topic:
    """Gives a topic the names of a language: people anew, places and days translated."""
    phrases = lexicon.load().phrases
    if topic.person in phrases[language].people:
        return topic
    own = phrases[facets.other(language)]
    return replace(
        topic,
        person=rng.choice(phrases[language].people),
        place=phrases[language].places[own.places.index(topic.place)],
        day=phrases[language].days[own.days.index(topic.day)],
    )


def _with_other(topic: Topic, facet: Facet, language: Language, rng: random.Random) -> Topic:
    words = lexicon.load()
    phrases = words.phrases[language]
    if facet in ("item", "family"):
        return replace(topic, item=rng.choice(sorted(words.items)))
    if facet == "event":
        return replace(topic, event=rng.choice(sorted(words.events)))
    if facet == "matter":
        return replace(topic, matter=rng.choice(sorted(words.matters)))
    if facet == "colour":
        return replace(topic, colour=rng.choice(sorted(words.colours)))
    if facet == "person":
        return replace(topic, person=rng.choice(phrases.people))
    if facet == "place":
        return replace(topic, place=rng.choice(phrases.places))
    if facet == "day":
        return replace(topic, day=rng.choice(phrases.days))
    assert facet in LITERAL
    return replace(topic, price=rng.choice((5, 8, 12, 15, 20, 30, 45, 60, 80, 99)))


def _is_possible(topic: Topic) -> bool:
    """Whether the event can happen to the item, and training may see the combination."""
    if topic.item is None or topic.event is None:
        return True
    words = lexicon.load()
    if words.items[topic.item].family not in words.events[topic.event].families:
        return False
    return not held_out(topic.item, topic.event) and not held_out(topic.item, topic.colour)
