"""A query with a fragment that answers it and others that nearly do.

Wrong candidates are what retrieval puts beside the right one: real fragments of other dialogues
that tell all that is asked but one thing. They are found in a pool by what they tell, which is
known, so that no model has to look for them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import get_args

from training.data import pairs
from training.data.pairs import Query
from training.data.world import asking, facets, lexicon, splits
from training.data.world.dialogues import Turn, WorldDialogue, make_stretch
from training.data.world.facets import Facet, Facets, Told
from training.data.world.facts import PRICES, Topic, allowed, events_of
from training.data.world.lexicon import LANGUAGES, Language
from training.data.world.pictures import Style

# Shares of the wrong candidates: with all but one of what is asked, of the same dialogue, written
# anew about the same topic with one thing changed. The rest are any.
NEAR, NEIGHBOUR, BENT = 0.6, 0.12, 0.13
HALF, RUN, MERGED = 0.12, 0.3, 0.1  # shares of the cuts that a splitter gets wrong
POOL_DIALOGUES = 2_500
TRIES = 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fragment as a splitter may cut it.

    Attributes:
        told: what its turns tell; a cut over two topics tells of each by itself.
    """

    turns: tuple[Turn, ...]
    told: tuple[Facets, ...]

    def meets(self, asked: Facets) -> bool:
        return any(facets.satisfies(told, asked) for told in self.told)

    def tells(self, asked: Facets, names: Sequence[Facet]) -> bool:
        """Whether those of the asked facets are told, be it by different topics."""
        return all(any(told.get(name) == asked[name] for told in self.told) for name in names)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reranker sees: one right candidate, and wrong ones."""

    query: Query
    right: Candidate
    wrong: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A candidate of the pool, and where it was cut."""

    candidate: Candidate
    dialogue: WorldDialogue
    topic: int


class Pool:
    """Fragments of the training split, by what they tell."""

    def __init__(self, dialogues: int, seed: str) -> None:
        rng = random.Random(seed)
        self.sources: list[Source] = []
        self._telling: dict[tuple[Facet, str], set[int]] = {}
        for _ in range(dialogues):
            number = rng.randrange(splits.DIALOGUES["train"])
            dialogue = splits.sample("train", number, queries=0).dialogue
            for topic in range(len(dialogue.topics)):
                self._add(Source(_cut(dialogue, topic, rng), dialogue, topic))

    def _add(self, source: Source) -> None:
        for told in source.candidate.told:
            for fact in told.items():
                self._telling.setdefault(fact, set()).add(len(self.sources))
        self.sources.append(source)

    def told(self) -> list[tuple[Facet, str]]:
        """All that any of its fragments tells."""
        return sorted(self._telling)

    def nearly(self, asked: Facets, rng: random.Random) -> Candidate | None:
        """One that tells all that is asked but one thing, or none there is."""
        names = sorted(asked)
        rng.shuffle(names)
        for missed in names:
            kept = [self._telling.get((name, asked[name]), set()) for name in names]
            kept.pop(names.index(missed))
            if not kept:
                return None
            near = sorted(
                set.intersection(*kept) - self._telling.get((missed, asked[missed]), set())
            )
            if near:
                return self.sources[rng.choice(near)].candidate
        return None


@cache
def pool() -> Pool:
    """The one that training draws from; some seconds of work."""
    return Pool(POOL_DIALOGUES, "judgements")


def make_judgement(
    rng: random.Random, wrong: int, *, pictures: float = 0.0, of: Pool | None = None
) -> Judgement:
    """Draws a query of the training split and `wrong` candidates that do not answer it.

    Args:
        pictures: share of the queries that show a picture, where the fragment has one.
        of: the pool to draw from.
    """
    drawn = of or pool()
    source, query = _asked(drawn, rng, pictures)
    chosen: list[Candidate] = []
    while len(chosen) < wrong:
        made = _wrong(drawn, source, query, rng)
        if made is not None and not made.meets(query.facets):
            chosen.append(made)
    return Judgement(query, source.candidate, tuple(chosen))


def make_query(rng: random.Random, *, pictures: float = 0.0, of: Pool | None = None) -> Query:
    """Draws a query as `make_judgement` does, without looking for candidates."""
    return _asked(of or pool(), rng, pictures)[1]


def _asked(drawn: Pool, rng: random.Random, pictures: float) -> tuple[Source, Query]:
    while True:
        source = rng.choice(drawn.sources)
        told = Told(source.candidate.told[0], frozenset())
        query = pairs.make_query(told, source.dialogue.language, rng, pictures=pictures)
        if query is not None:
            return source, query


def _wrong(drawn: Pool, source: Source, query: Query, rng: random.Random) -> Candidate | None:
    kind = rng.random()
    dialogue = source.dialogue
    if kind < NEAR:
        return drawn.nearly(query.facets, rng)
    kind -= NEAR
    if kind < NEIGHBOUR:
        others = [topic for topic in range(len(dialogue.topics)) if topic != source.topic]
        return _cut(dialogue, rng.choice(others), rng) if others else None
    kind -= NEIGHBOUR
    if kind < BENT:
        return _bent(dialogue.topics[source.topic], query, dialogue.language, rng)
    return rng.choice(drawn.sources).candidate


def _cut(dialogue: WorldDialogue, topic: int, rng: random.Random) -> Candidate:
    """The turns about a topic as a splitter cuts them: nearly, one run, a half, or two at once."""
    ids = dialogue.turns_about(topic)
    runs = [
        list(range(stretch.start, stretch.stop))
        for stretch in dialogue.stretches
        if stretch.topic == topic
    ]
    kind = rng.random()
    if kind < HALF and len(ids) >= 6:
        middle = len(ids) // 2
        ids = ids[:middle] if rng.random() < 0.5 else ids[middle:]
    elif kind < HALF + RUN:
        ids = _widened(dialogue, rng.choice(runs), rng)
    elif kind < HALF + RUN + MERGED:
        run = rng.choice(runs)
        ids = [*run, *range(run[-1] + 1, min(len(dialogue.turns), run[-1] + 1 + len(run)))]
    turns = tuple(dialogue.turns[turn] for turn in ids)
    return Candidate(turns, _told(dialogue, ids, topic))


def _widened(dialogue: WorldDialogue, run: list[int], rng: random.Random) -> list[int]:
    """A run that begins and ends a turn or two too early or too late."""
    first = max(0, run[0] + rng.randint(-2, 1))
    last = min(len(dialogue.turns) - 1, run[-1] + rng.randint(-1, 2))
    return list(range(first, last + 1)) or run


def _told(dialogue: WorldDialogue, ids: Sequence[int], first: int) -> tuple[Facets, ...]:
    """What the turns tell of topic `first`, and of each other that they touch."""
    touching: dict[int, list[Turn]] = {}
    for stretch in dialogue.stretches:
        turns = [dialogue.turns[turn] for turn in ids if stretch.start <= turn < stretch.stop]
        if turns:
            touching.setdefault(stretch.topic, []).extend(turns)
    order = sorted(touching, key=lambda topic: topic != first)
    found = [
        facets.told_by(dialogue.topics[topic], touching[topic], dialogue.language)
        for topic in order
    ]
    return (*(one.facets for one in found), *(one.beside for one in found if one.beside))


def _bent(topic: Topic, query: Query, language: Language, rng: random.Random) -> Candidate | None:
    """Talk of a topic that has all but one, or all but two, of what is asked."""
    asked = sorted(query.facets)
    count = 2 if len(asked) > 1 and rng.random() < 0.25 else 1
    changed = rng.sample(asked, count)
    shared = [facet for facet in asked if facet not in changed]
    if rng.random() < 0.12 and "person" not in asked:
        language = rng.choice(LANGUAGES)
    for _ in range(TRIES):
        bent = _localised(topic, language, rng)
        for facet in changed:
            bent = _with_other(bent, facet, language, rng)
        if not _is_possible(bent):
            continue
        turns = make_stretch(rng, bent, language, rng.randint(3, 12))
        told = facets.told_by(bent, turns, language)
        if told.satisfies(query.facets):
            continue
        # What the query asks besides must be told, else the candidate is easily dismissed.
        if all(told.facets.get(facet) == query.facets[facet] for facet in shared):
            return Candidate(turns, (told.facets, *([told.beside] if told.beside else [])))
    return None


def _localised(topic: Topic, language: Language, rng: random.Random) -> Topic:
    """Gives a topic the names of a language: people anew, places and days translated."""
    phrases = lexicon.load().phrases
    if topic.person in phrases[language].people:
        return topic
    own = phrases[asking.other(language)]
    return replace(
        topic,
        person=rng.choice(phrases[language].people),
        place=phrases[language].places[own.places.index(topic.place)],
        shop=phrases[language].shops[own.shops.index(topic.shop)],
        day=phrases[language].days[own.days.index(topic.day)],
    )


def _with_other(topic: Topic, facet: Facet, language: Language, rng: random.Random) -> Topic:
    words = lexicon.load()
    phrases = words.phrases[language]
    if facet in ("item", "family"):
        return replace(topic, item=rng.choice(sorted(words.items)))
    if facet == "event":
        return replace(topic, event=rng.choice(sorted(words.events)))
    if facet in ("matter", "matter_family"):
        return replace(topic, matter=rng.choice(sorted(words.matters)))
    if facet == "colour":
        return replace(topic, colour=rng.choice(sorted(words.colours)))
    if facet == "count":
        return replace(topic, count=rng.choice((1, 2, 3)) if topic.pictured else 1)
    if facet == "style":
        return replace(topic, style=rng.choice(get_args(Style)))
    if facet == "relation":
        return replace(topic, relation=rng.choice(sorted(words.relations)))
    if facet == "shop":
        return replace(topic, shop=rng.choice(phrases.shops))
    if facet == "person":
        return replace(topic, person=rng.choice(phrases.people))
    if facet == "place":
        return replace(topic, place=rng.choice(phrases.places))
    if facet == "day":
        return replace(topic, day=rng.choice(phrases.days))
    assert facet in ("price", "text")
    return replace(topic, price=rng.choice(PRICES))


def _is_possible(topic: Topic) -> bool:
    """Whether the event can happen to the item, and training may see the combination."""
    if topic.item is None or topic.event is None:
        return True
    if topic.count > 1 and topic.beside:
        return False
    return topic.event in events_of(topic.family) and allowed(topic, [], "train")
