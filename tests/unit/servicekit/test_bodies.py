"""What counts as a JSON body."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colloquy.servicekit.bodies import parse_json
from colloquy.servicekit.problems import MalformedJson


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "line 1, column 2"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"", "line 1, column 1"),
        (b'{"a": 1} trailing', "line 1, column 10"),
        (b'{"a": \xff}', "not UTF-8 at byte 6"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "beyond a double"),
        (b"[" + b"9" * 5_000 + b"]", "too long"),
        (rb'{"a": "\ud800"}', "surrogate"),
        (rb'{"a\udfff": 1}', "surrogate"),
        (rb'["\udc00\ud800"]', "surrogate"),
        (b'{"a": 1, "a": 2}', "one name twice"),
        (rb'{"a": 1, "\u0061": 2}', "one name twice"),
        (b'{"x": {"a": 1, "a": 2}}', "one name twice"),
        (b"[" + b"[]," * 600_000 + b"[]]", "more than 500000 values"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        ("[1]".encode("utf-16"), "not UTF-8"),
        ("[1]".encode("utf-16-le"), "line 1"),
        (b'["a\x00"]', "line 1"),
        (b"['a']", "line 1"),
        (b"[1,]", "line 1"),
    ],
)
def test_refuses_with_a_reason_and_a_place(body: bytes, why: str) -> None:
    with pytest.raises(MalformedJson) as refused:
        parse_json(body)

    assert why in refused.value.detail


@pytest.mark.parametrize(
    "body",
    [
        rb'"\ud83d\ude00"',
        b'\xef\xbb\xbf{"a": 1}',
        '["日本語 😀"]'.encode(),
        b"[" * 64 + b"]" * 64,
        json.dumps([",[{" * 1_000] * 300).encode(),
        json.dumps(["[" * 1_000 + "{" * 1_000] * 3).encode(),
        json.dumps([{"a": '\\"[{'}] * 500).encode(),
    ],
)
def test_takes_what_is_right(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_malformed(body: bytes) -> None:
    with suppress(MalformedJson):
        parse_json(body)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(values)
def test_every_json_value_comes_through(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b"\\" * 2_000_000,
        b'["' + b'\\"' * 1_000_000,
        b"[" + b'"a",' * 400_000,
        b'"' * 2_000_001,
        b"[" + b"[]," * 5_000_000 + b"[]]",
        b"[" + b"{}," * 150_000 + b"{}]",
        b"[" * 600_000 + b'"' + b'\\"' * 2_000_000,
        b"[" * 600_000 + b'"",' * 2_000_000,
    ],
)
def test_no_body_takes_long(body: bytes) -> None:
    started = time.thread_time()

    with suppress(MalformedJson):
        parse_json(body)

    assert time.thread_time() - started < 2
