import contextlib
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from colloquy.protocols import f2rvlm

# As published, with its own anchors; ours must agree with it on every text.
PUBLISHED = re.compile(
    r"^<\|utt_ids_start\|>(\[(?P<utt>[\d,\s]*)\])<\|utt_ids_end\|>;"
    r"<\|img_ids_start\|>(\[(?P<img>[\d,\s]*)\])<\|img_ids_end\|>(?![\s\S])"
)
PARTS = [
    *(
        "<|utt_ids_start|>",
        "<|utt_ids_end|>",
        "<|img_ids_start|>",
        "<|img_ids_end|>",
        ";",
        "[",
        "]",
    ),
    *(
        "[]",
        "[1, 2]",
        "1",
        ", ",
        ",",
        " ",
        "\n",
        "-3",
        "1.5",
        "９",
        "٣",
        "<|query_start|>",
        "(",
        ")",
    ),
    *("9" * 5_000, "[" * 200, "null", "NaN", "1e9", "0x1", "1_000", "True", "'", '"', "\x00"),
]
ANYTHING = st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=12).map("".join)
IDS = st.lists(st.integers(0, 10**6 - 1), max_size=20)


def _answer(utterances: str, images: str) -> str:
    return f"<|utt_ids_start|>{utterances}<|utt_ids_end|>;<|img_ids_start|>{images}<|img_ids_end|>"


@given(utterances=IDS, images=IDS)
def test_reads_back_what_was_written(utterances: list[int], images: list[int]) -> None:
    text = f2rvlm.format_answer(utterances, images)
    assert f2rvlm.parse_answer(text) == f2rvlm.Answer(tuple(utterances), tuple(images))


@given(ANYTHING)
@example(_answer("[1, 2]", "[]") + "\n")
@example(_answer("[" + "9" * 5_000 + "]", "[]"))
def test_the_strict_parser_agrees_with_the_published_expression(text: str) -> None:
    published = PUBLISHED.match(text)
    try:
        answer = f2rvlm.parse_answer(text)
    except f2rvlm.Malformed:
        # The expression also passes lists that are no lists, `[1,,2]`; those have no reading.
        assert published is None or not _has_a_reading(published)
    else:
        assert published is not None
        assert list(answer.utterance_ids) == _numbers(published["utt"])
        assert list(answer.image_ids) == _numbers(published["img"])


def _numbers(inner: str) -> list[int]:
    return [int(number) for number in inner.split(",")] if inner.strip() else []


def _has_a_reading(match: re.Match[str]) -> bool:
    try:
        _numbers(match["utt"])
        _numbers(match["img"])
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "utterances", "images"),
    [
        (_answer("[1, 2]", "[0]"), (1, 2), (0,)),
        ("Sure! " + _answer("[ 1,2 ,1]", "[]") + "\nHope it helps", (1, 2), ()),
        ("<answer>" + _answer("[3]", "[x]") + "</answer>", (3,), ()),
        (_answer("1-3, -4, 1.5, 7", "[0]"), (1, 3, 7), (0,)),
        (_answer("[" + "9" * 5_000 + ", 2]", "[0"), (2,), (0,)),
        ("<|img_ids_start|>[4]<|img_ids_end|>", (), (4,)),
        ("<|utt_ids_start|>[1, 2", (), ()),
        ("[1, 2];[0]", (), ()),
        ("", (), ()),
    ],
)
def test_the_tolerant_parser_takes_the_lists_where_they_stand(
    text: str, utterances: tuple[int, ...], images: tuple[int, ...]
) -> None:
    assert f2rvlm.parse_answer_tolerant(text) == f2rvlm.Answer(utterances, images)


def _parse_with_everything(text: str) -> None:
    f2rvlm.parse_answer_tolerant(text)
    f2rvlm.parse_lines(text)
    for parse in (f2rvlm.parse_answer, f2rvlm.parse_split, f2rvlm.parse_query):
        with contextlib.suppress(f2rvlm.Malformed):
            parse(text)


@given(ANYTHING)
def test_no_text_crashes_a_parser(text: str) -> None:
    _parse_with_everything(text)


@given(st.binary(max_size=200))
def test_no_bytes_crash_a_parser(data: bytes) -> None:
    _parse_with_everything(data.decode("utf-8", "replace"))
    _parse_with_everything(data.decode("latin-1"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "(" * 100_000 + ")" * 100_000,
        "[[" + "1," * 100_000,
        "[[" + "9" * 1_000_000 + "]]",
        "<|utt_ids_start|>" * 60_000,
        "<|query_start|>" * 60_000,
        _answer("[" + "," * 500_000, "[" + " " * 500_000),
        "<|utt_id_start|>1<|utt_id_end|> a" * 30_000,
    ],
    ids=range(9),
)
def test_long_nonsense_costs_little_time(text: str) -> None:
    started = time.process_time()
    _parse_with_everything(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("[[0, 1], [2]]", [[0, 1], [2]]),
        ("[[0,1],[2]]", [[0, 1], [2]]),
        (" [[0, 1,], [2]]\n", [[0, 1], [2]]),
        ("[]", []),
        ("[[]]", [[]]),
    ],
)
def test_reads_a_split_as_json_or_as_python(text: str, fragments: list[list[int]]) -> None:
    assert f2rvlm.parse_split(text) == fragments


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "[1, 2]", "[[true]]", "[[-1]]", "[[1.0]]", "[['0']]", "{}", "([0], [1])"),
        *("[[0]] and", "[[0x1]]", "[[1_0]]", "[[01]]", "[[0 1]]", "[[0]]]", "[[NaN]]", "[[null]]"),
        *("__import__('os')", "[[0] * 9]", "[[1e3]]", "[(0, 1)]", "[[９]]"),
    ],
)
def test_refuses_what_is_no_list_of_lists_of_ids(text: str) -> None:
    with pytest.raises(f2rvlm.Malformed):
        f2rvlm.parse_split(text)


@pytest.mark.parametrize(
    ("fragments", "whole"),
    [
        ([[0, 1], [2]], True),
        ([[2], [0, 1]], True),
        ([[0, 1]], False),
        ([[0, 1], [1, 2]], False),
        ([[0, 1], [2, 3]], False),
        ([], False),
    ],
)
def test_a_partition_has_every_turn_once(fragments: list[list[int]], whole: bool) -> None:
    assert f2rvlm.is_partition(fragments, [0, 1, 2]) is whole
