"""Queries with the fragments that answer them, in batches whose members are near each other."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.data.world import asking, facets, lexicon, splits
from training.data.world.dialogues import Turn, WorldDialogue
from training.data.world.facets import LITERAL, Facet, Facets, Told
from training.data.world.lexicon import LANGUAGES, Language
from training.data.world.pictures import PictureSpec

FOREIGN = 0.15  # share of queries in the other language
CROPPED = 0.3  # share of fragments that are not cut exactly at their topic

# What a query asks, with how often; `literal` is any literal facet that is told.
_KINDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("item", "event"), 6),
    (("item", "event", "literal"), 6),
    (("item", "literal"), 2),
    (("event", "literal", "literal"), 3),
    (("event", "literal"), 1),
    (("item", "colour", "event"), 5),
    (("item", "colour"), 4),
    (("item", "colour", "literal"), 2),
    (("item", "style", "event"), 2),
    (("item", "style"), 1),
    (("item", "count"), 2),
    (("item", "text"), 1),
    (("item", "event", "relation"), 3),
    (("event", "relation"), 1),
    (("matter", "relation"), 2),
    (("family", "event", "literal"), 1),
    (("matter_family", "literal"), 1),
    (("colour", "event", "literal"), 1),
    (("item",), 2),
    (("matter", "literal", "literal"), 6),
    (("matter", "literal"), 5),
    (("matter",), 4),
)


@dataclass(frozen=True, slots=True)
class Query:
    """A text, a picture, or both.

    Attributes:
        facets: what is asked.
    """

    text: str
    facets: Facets
    picture: PictureSpec | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a fragment that answers it."""

    query: Query
    turns: tuple[Turn, ...]
    told: Told
    language: Language


def batch(rng: random.Random, count: int, *, pictures: float = 0.0) -> list[Pair]:
    """Draws training pairs, every topic of a dialogue after the other: neighbours are alike.

    Args:
        pictures: share of the queries, where the fragment shows its thing, that show one too.
    """
    drawn: list[Pair] = []
    while len(drawn) < count:
        entry = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]), queries=0)
        for topic in range(len(entry.dialogue.topics)):
            pair = make_pair(entry.dialogue, topic, rng, pictures=pictures)
            if pair is not None:
                drawn.append(pair)
    return drawn[:count]


def alike(pool: Sequence[Pair], count: int, rng: random.Random) -> list[list[Pair]]:
    """Divides pairs into batches of `count` whose fragments tell much of the same.

    In a batch drawn at random hardly a fragment tells all but one of the facts asked, among
    thousands many do. The last batches hold what is like nothing else, and may be shorter.
    """
    left = list(pool)
    batches = []
    while left:
        anchor = rng.choice(left).told.facets
        left.sort(key=lambda pair: -_shared(pair.told.facets, anchor))
        batches.append(left[:count])
        left = left[count:]
    return batches


def _shared(told: Facets, anchor: Facets) -> int:
    return sum(anchor.get(kind) == value for kind, value in told.items())


def make_pair(
    dialogue: WorldDialogue, topic: int, rng: random.Random, *, pictures: float = 0.0
) -> Pair | None:
    """Asks about a topic in one of the ways it can be asked for; None where there is none."""
    told = facets.told(dialogue, topic)
    turns = fragment_turns(dialogue, topic, rng)
    query = make_query(told, dialogue.language, rng, pictures=pictures)
    return None if query is None else Pair(query, turns, told, dialogue.language)


def make_query(
    told: Told, language: Language, rng: random.Random, *, pictures: float = 0.0
) -> Query | None:
    """Asks for what a fragment in `language` tells, in one of the ways it can be asked for."""
    if "colour" in told.facets and rng.random() < pictures:
        return _pictured(told, language, rng)
    return _asked(told, language, rng)


def fragment_turns(
    dialogue: WorldDialogue, topic: int, rng: random.Random, cropped: float = CROPPED
) -> tuple[Turn, ...]:
    """The turns about a topic, sometimes with a neighbour or two, as a splitter may cut them."""
    ids = dialogue.turns_about(topic)
    if rng.random() < cropped:
        first = max(0, ids[0] - rng.randint(0, 2))
        last = min(len(dialogue.turns) - 1, ids[-1] + rng.randint(0, 2))
        ids = [*range(first, ids[0]), *ids, *range(ids[-1] + 1, last + 1)]
    return tuple(dialogue.turns[turn] for turn in ids)


def clashes(pairs: Sequence[Pair]) -> Tensor:
    """(pairs, pairs) of bool: where another pair's fragment answers the query as well."""
    rows = [
        [
            row != column and other.told.satisfies(pair.query.facets)
            for column, other in enumerate(pairs)
        ]
        for row, pair in enumerate(pairs)
    ]
    return torch.tensor(rows)


def contrast(
    queries: Tensor, candidates: Tensor, clash: Tensor, temperature: float | Tensor
) -> Tensor:
    """InfoNCE from queries to candidates, both (pairs, dimensions) and of length 1."""
    near = queries @ candidates.T / temperature
    near = near.masked_fill(clash, float("-inf"))
    return nn.functional.cross_entropy(near, torch.arange(len(near)))


def caption(spec: PictureSpec, rng: random.Random, *, coloured: bool) -> str:
    """Words about a picture, of dialogues or of queries, in either language."""
    words = lexicon.load()
    language = rng.choice(LANGUAGES)
    item, colour = words.items[spec.item], words.colours[spec.colour]
    if rng.random() < 0.3:
        thing = item.say(language)
        shade = colour.en if language == "en" else colour.zh
        if not coloured:
            return thing
        return words.phrases[language].coloured.format(colour=shade, x=thing)
    asked: Facets = {"item": spec.item}
    if coloured:
        asked["colour"] = spec.colour
    if spec.count > 1 and rng.random() < 0.5:
        asked["count"] = str(spec.count)
    if spec.style != "plain" and rng.random() < 0.5:
        asked["style"] = spec.style
    if rng.random() < 0.25:
        family = item.family
        asked["event"] = rng.choice(
            [name for name, event in sorted(words.events.items()) if family in event.families]
        )
    return asking.ask(asked, language, rng, "train", picture=True)[0]


def _asked(told: Told, own: Language, rng: random.Random) -> Query | None:
    """A text query of a kind that the topic's facts allow."""
    language = asking.other(own) if rng.random() < FOREIGN else own
    literal: list[Facet] = [
        facet
        for facet in LITERAL
        if facet in told.facets and not (language != own and facet == "person")
    ]
    rng.shuffle(literal)
    possible = [
        (kind, often)
        for kind, often in _KINDS
        if kind.count("literal") <= len(literal)
        and all(name == "literal" or name in told.facets for name in kind)
        and not ("count" in kind and told.facets["count"] == "1")
    ]
    if not possible:
        return None
    kind = rng.choices([kind for kind, _ in possible], [often for _, often in possible])[0]
    left = iter(literal)
    wanted: list[Facet] = [next(left) if name == "literal" else name for name in kind]  # type: ignore[misc]
    asked = asking.choose(told, rng, wanted)
    assert asked is not None
    picture = "event" not in asked and bool({"colour", "count", "style", "text"} & asked.keys())
    text, _ = asking.ask(asked, language, rng, "train", picture=picture)
    return Query(text, asked)


def _pictured(told: Told, own: Language, rng: random.Random) -> Query:
    """Another picture of the same thing, half of the time with words that ask for more."""
    spec = PictureSpec(told.facets["item"], told.facets["colour"], rng.randrange(10**6))
    asked: Facets = {"item": spec.item, "colour": spec.colour}
    more: list[Facet] = [facet for facet in ("event", *LITERAL) if facet in told.facets]
    if not more or rng.random() < 0.5:
        return Query("", asked, spec)
    facet = rng.choice(more)
    wanted: Facets = {facet: told.facets[facet]}
    text, _ = asking.ask(wanted, own, rng, "train")
    return Query(text, asked | wanted, spec)
