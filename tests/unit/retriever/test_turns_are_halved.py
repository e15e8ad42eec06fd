from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.servicekit.problems import TooLarge
from services.retriever.task_space import halves

PARTS = st.one_of(
    st.text(st.sampled_from("ab \n"), max_size=12).map(lambda text: TextPart(text=text)),
    st.sampled_from(["blob:1", "blob:2"]).map(ImagePart.of),
)
TURNS = st.lists(
    st.lists(PARTS, min_size=1, max_size=3).map(lambda p: Utterance(speaker="a", content=p)),
    min_size=1,
    max_size=4,
)


def flat(turns: Any) -> list[str]:
    """Every character and every picture, in order."""
    return [
        piece
        for turn in turns
        for part in turn.parts
        for piece in (part.text if isinstance(part, TextPart) else [part.image_url.url])
    ]


@given(TURNS)
def test_two_halves_hold_everything_in_order(turns: list[Utterance]) -> None:
    if len(turns) == 1 and len(flat(turns)) < 2 and len(turns[0].parts) < 2:
        return
    first, second = halves(turns)
    assert first
    assert second
    assert flat(first) + flat(second) == flat(turns)


@given(TURNS)
def test_halving_comes_to_an_end(turns: list[Utterance]) -> None:
    waiting = [list(turns)]
    for _ in range(1_000):
        if not waiting:
            return
        try:
            waiting += map(list, halves(waiting.pop()))
        except TooLarge:
            continue
    raise AssertionError("it goes on for ever")


def test_turns_stay_whole_while_there_are_several() -> None:
    turns = [Utterance(speaker="a", content=text) for text in ("one two", "three", "four")]
    assert halves(turns) == (turns[:1], turns[1:])


def test_a_text_is_cut_where_a_word_ends() -> None:
    first, second = halves([Utterance(speaker="a", content="one two three four")])
    assert flat(first) == list("one two")
    assert flat(second) == list(" three four")


@pytest.mark.parametrize("content", ["x", [ImagePart.of("blob:1")]])
def test_what_cannot_be_halved_is_too_large(content: Any) -> None:
    with pytest.raises(TooLarge):
        halves([Utterance(speaker="a", content=content)])
