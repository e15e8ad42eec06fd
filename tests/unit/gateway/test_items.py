"""The items of a large body are found one by one, wherever the reads of the file end."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colloquy.servicekit.problems import MalformedJson, TooLarge
from gateway import items
from gateway.items import RawItem, elements, lines

MAX = 10_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


class Drip(io.BytesIO):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._step)


def split_list(data: bytes, max_item_bytes: int = MAX) -> list[RawItem]:
    return list(elements(io.BytesIO(data), max_item_bytes))


def split_lines(data: bytes, max_item_bytes: int = MAX) -> list[RawItem]:
    return list(lines(io.BytesIO(data), max_item_bytes))


def values(found: list[RawItem]) -> list[Any]:
    return [json.loads(item.data or b"") for item in found]


# --- a list -------------------------------------------------------------------------------------


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 2]), st.integers(1, 40))
@settings(deadline=None)
def test_a_list_gives_its_elements_however_it_is_written_and_read(
    written: list[Any], indent: int | None, step: int
) -> None:
    data = json.dumps(written, indent=indent, ensure_ascii=False).encode()

    found = list(elements(Drip(data, step), len(data)))

    assert values(found) == written
    assert [item.position for item in found] == list(range(len(written)))


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_a_list_that_breaks_off_is_never_taken_for_a_whole_one(
    written: list[Any], data: st.DataObject
) -> None:
    whole = json.dumps(written).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]

    with pytest.raises(MalformedJson):
        split_list(cut)


@given(st.binary(max_size=60), st.integers(1, 8))
def test_no_bytes_crash_the_splitting_of_a_list(data: bytes, step: int) -> None:
    try:
        found = list(elements(Drip(b"[" + data, step), 1_000))
    except (MalformedJson, TooLarge):
        return
    assert all(item.data for item in found)


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_splitting_of_lines(data: bytes) -> None:
    assert all(item.data for item in split_lines(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "must be a list"),
        (b"  ", "must be a list"),
        (b'{"dialogues": []}', "must be a list"),
        (b"[1,]", "lacks a value before line 1"),
        (b"[,1]", "lacks a value before line 1"),
        (b"[1,\n,2]", "lacks a value before line 2"),
        (b"[1] 2", "ends before line 1"),
        (b"[1]\n\n[2]", "ends before line 3"),
        (b"[1}", "a bracket too many"),
        (b'["abc', "breaks off"),
        (b'["abc\\', "breaks off"),
        (b"[1", "breaks off"),
        (b"[" * 2_000, "nested too deeply"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(data: bytes, why: str) -> None:
    with pytest.raises(MalformedJson) as refused:
        split_list(data)

    assert why in refused.value.detail


def test_each_element_knows_its_line() -> None:
    data = b'\xef\xbb\xbf[\n  {"a": "x\\ny"},\n\n  {"b":\n 2}, 3]\n'

    assert [(item.line, item.data) for item in split_list(data)] == [
        (2, b'{"a": "x\\ny"}'),
        (4, b'{"b":\n 2}'),
        (5, b"3"),
    ]


def test_what_is_between_the_commas_may_be_anything() -> None:
    found = split_list(b'[{"a": nope}, {"a" 1}, "]", {"}": "{,"}]')

    assert [item.data for item in found] == [b'{"a": nope}', b'{"a" 1}', b'"]"', b'{"}": "{,"}']


def test_an_element_that_is_too_large_is_named() -> None:
    with pytest.raises(TooLarge, match="item 1 has more than 50 bytes"):
        split_list(b'[1, "' + b"x" * 60 + b'"]', 50)


def test_a_long_list_is_never_held_whole() -> None:
    class Counting(io.BytesIO):
        held = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.held = max(self.held, len(data))
            return data

    one = json.dumps({"text": "x" * 1_000}).encode()
    file = Counting(b"[" + b",".join([one] * 10_000) + b"]")

    assert sum(1 for _ in elements(file, MAX)) == 10_000
    assert file.held <= 2 * items._CHUNK_BYTES


# --- lines --------------------------------------------------------------------------------------


def test_each_line_is_an_item_and_blank_ones_are_nothing() -> None:
    found = split_lines(b'\xef\xbb\xbf{"a": 1}\n\n \t\r\n{"b": 2}\r\n{"c": 3}')

    assert [(item.position, item.line, item.data) for item in found] == [
        (0, 1, b'{"a": 1}'),
        (1, 4, b'{"b": 2}'),
        (2, 5, b'{"c": 3}'),
    ]


@pytest.mark.parametrize("size", [10, 11, 19, 20, 21, 100])
def test_a_line_that_is_too_long_is_an_item_without_data_and_the_next_is_read(size: int) -> None:
    found = split_lines(b"1\n" + b"x" * size + b"\n2\n", 10)

    data = b"x" * size if size <= 10 else None
    assert [(item.position, item.line, item.data) for item in found] == [
        (0, 1, b"1"),
        (1, 2, data),
        (2, 3, b"2"),
    ]
