"""Metadata as strings that a store can match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import Value
from services.retriever.domain import metadata_terms

VALUES = st.text(max_size=8) | st.booleans() | st.integers() | st.floats(allow_nan=False)


def term(name: str, value: Value) -> str:
    return metadata_terms({name: value})[0]


def test_a_name_with_an_equals_sign_is_not_another_pair() -> None:
    assert term("a", "b=c") != term("a=b", "c")
    assert term('a"="b', "c") != term("a", 'b"="c')


def test_a_number_its_text_and_true_are_three_values() -> None:
    assert len({term("n", 1), term("n", "1"), term("n", True)}) == 3


def test_a_whole_float_is_the_whole_number() -> None:
    assert term("n", 1) == term("n", 1.0)
    assert term("n", 0) == term("n", -0.0)


def test_every_pair_has_one_term_in_order() -> None:
    assert metadata_terms({"team": "red", "lang": "de"}) == ['"team"="red"', '"lang"="de"']


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\n", "猫"])
def test_any_text_can_be_sent_as_utf_8(text: str) -> None:
    term(text, text).encode()


@given(
    st.text(max_size=4),
    VALUES.filter(lambda v: v not in (float("inf"), float("-inf"))),
    st.text(max_size=4),
    VALUES.filter(lambda v: v not in (float("inf"), float("-inf"))),
)
def test_terms_are_equal_exactly_when_name_and_value_are(
    name: str, value: Value, other_name: str, other: Value
) -> None:
    same_kind = isinstance(value, bool) == isinstance(other, bool)
    same = name == other_name and same_kind and value == other

    assert (term(name, value) == term(other_name, other)) == same
