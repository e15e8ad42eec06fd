"""What is embedded ahead of the line."""

import pytest

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from services.retriever.encoding import Content, Item, Turns, goes_first

TEXT, PICTURE = TextPart(text="red shoes"), ImagePart.of("blob:a")


def query(*parts: TextPart | ImagePart) -> Content:
    return Content(parts, is_query=True)


@pytest.mark.parametrize(
    "item", [query(TEXT), query(PICTURE), query(PICTURE, TEXT), query(TextPart(text="x" * 4_096))]
)
def test_what_a_search_asks_with_goes_first(item: Item) -> None:
    assert goes_first([item])


@pytest.mark.parametrize(
    "items",
    [
        [],
        [query(TEXT), query(TEXT)],
        [query(PICTURE, PICTURE)],
        [query(TextPart(text="x" * 4_097))],
        [query(*[TextPart(text="x" * 100)] * 41)],
        [Content((TEXT,))],
        [Turns((Utterance(id=0, speaker="Ann", content="red shoes"),))],
    ],
)
def test_everything_else_waits_in_line(items: list[Item]) -> None:
    assert not goes_first(items)
