"""A caller's selection as the store takes it."""

from typing import TypeVar

from colloquy.contracts.fragments import Filter
from colloquy.contracts.retrieval import Selection
from services.retriever.domain import Where, metadata_terms

Value = TypeVar("Value")


def where_of(selection: Selection) -> Where:
    """Every given field must hold; an empty list is given too, and nothing is in it."""
    chosen = selection.filter or Filter()
    return Where(
        ids=_tuple(selection.ids),
        dialogue_ids=_tuple(chosen.dialogue_id),
        speakers=_tuple(chosen.speaker),
        after=chosen.after,
        before=chosen.before,
        metadata={
            name: tuple(term for value in values for term in metadata_terms({name: value}))
            for name, values in (chosen.metadata or {}).items()
        },
        labels=_tuple(selection.as_),
        before_revision=selection.before_revision,
    )


def _tuple(values: list[Value] | None) -> tuple[Value, ...] | None:
    return None if values is None else tuple(values)
