"""What can be told and asked in the world, numbered."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from training.data.world import lexicon
from training.data.world.facets import FACETS, Facet, Facets
from training.data.world.facts import PRICES

KINDS: tuple[tuple[Facet, ...], ...] = (
    ("item", "family"),
    ("event", "matter", "matter_family"),
    ("colour", "count", "style", "text"),
    ("person", "relation"),
    ("place", "shop"),
    ("day", "price"),
)
"""What one head compares. No word tells two facets of a kind, but a thing tells its family."""
NOT_COUNTED = ("count", "1")  # that there is one of a thing is not told


class Values:
    """The values of each facet, numbered; those of a kind stand together."""

    def __init__(self, told: Iterable[tuple[Facet, str]]) -> None:
        every = set(told) - {NOT_COUNTED}
        self.all: list[tuple[Facet, str]] = []
        self.of_kind: list[slice] = []
        self.of_facet: dict[Facet, slice] = {}
        for kind in KINDS:
            first = len(self.all)
            for facet in kind:
                start = len(self.all)
                self.all += sorted(pair for pair in every if pair[0] == facet)
                self.of_facet[facet] = slice(start, len(self.all))
            self.of_kind.append(slice(first, len(self.all)))
        self._numbers = {pair: number for number, pair in enumerate(self.all)}

    def told(self, facets: Sequence[Facets]) -> Tensor:
        """(values,) of 0 and 1; what has no number, such as a held-out name, is left out."""
        row = torch.zeros(len(self.all))
        for found in facets:
            row[self.known(found)] = 1.0
        return row

    def known(self, facets: Facets) -> list[int]:
        """The numbers of the values that have one."""
        return [self._numbers[pair] for pair in facets.items() if pair in self._numbers]

    def asked(self, facets: Facets) -> list[int]:
        """For each facet 0, or 1 + the place of the asked value among its own."""
        return [
            1 + self._numbers[facet, facets[facet]] - own.start
            if (facet, facets.get(facet)) in self._numbers
            else 0
            for facet, own in self.of_facet.items()
        ]

    def numbers(self, facets: Facets) -> list[list[int]]:
        """For each kind the numbers of the values that are asked."""
        return [self.known({f: facets[f] for f in kind if f in facets}) for kind in KINDS]


def of_the_world() -> Values:
    """Everything that training dialogues can tell."""
    return Values(_facts())


def _facts() -> Iterator[tuple[Facet, str]]:
    words = lexicon.load()
    groups: dict[Facet, Iterable[str]] = {
        "item": words.items,
        "family": words.families,
        "event": words.events,
        "matter": words.matters,
        "matter_family": words.matter_families,
        "colour": words.colours,
        "count": words.counts,
        "style": words.styles,
        "text": map(str, PRICES),
        "person": [name for phrases in words.phrases.values() for name in phrases.people],
        "relation": words.relations,
        "place": words.phrases["en"].places,
        "shop": words.phrases["en"].shops,
        "day": words.phrases["en"].days,
        "price": map(str, PRICES),
    }
    assert set(groups) == set(FACETS)
    for facet, values in groups.items():
        yield from ((facet, value) for value in values)
