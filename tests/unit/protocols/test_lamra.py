import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Picture
from colloquy.protocols.prompt import IMAGE, Malformed

# Facts of the released code: the instructions' lengths, to the letter.
LENGTHS = {
    ("pointwise", "qwen2-vl"): 213,
    ("listwise", "qwen2-vl"): 322,
    ("pointwise", "qwen2.5-vl"): 190,
    ("listwise", "qwen2.5-vl"): 298,
}


@pytest.mark.parametrize("family", ["qwen2-vl", "qwen2.5-vl"])
def test_the_instructions_have_the_published_length(family: lamra.Family) -> None:
    pointwise = lamra.render_pointwise(["q"], ["c"], family).user
    assert len(pointwise.partition("Query:")[0]) == LENGTHS["pointwise", family]
    listwise = lamra.render_listwise(["q"], [["c"]], family).user
    assert len(listwise.partition("Query:")[0]) == LENGTHS["listwise", family]


def test_nothing_stands_between_the_parts_of_a_pair() -> None:
    prompt = lamra.render_pointwise(
        [Picture("blob:q"), "Find it."], [Picture("blob:c"), "A cake."], "qwen2.5-vl"
    )
    assert prompt.user.endswith("'No'.Query:<image>Find it.Candidate:<image>A cake.")
    assert prompt.images == ("blob:q", "blob:c")


def test_candidates_are_numbered_from_one_and_keep_their_pictures_order() -> None:
    prompt = lamra.render_listwise(
        ["Find it."], [["A."], [Picture("blob:b"), "B."], [Picture("blob:c")]], "qwen2.5-vl"
    )
    assert prompt.user.endswith("Query:Find it.Candidates:(1) A.(2) <image>B.(3) <image>")
    assert prompt.images == ("blob:b", "blob:c")


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (["A cake."], "A cake.\nSummarize above sentence in one word: "),
        ([Picture("r")], "<image>\nSummarize above image in one word: "),
        (
            [Picture("r"), "A cake."],
            "<image>A cake.\nSummarize above image and sentence in one word: ",
        ),
    ],
)
def test_an_embedding_names_what_is_above_it(content: lamra.Content, ending: str) -> None:
    assert lamra.render_embedding(content).user == ending


@pytest.mark.parametrize("content", [[], [""]])
def test_nothing_cannot_be_embedded(content: lamra.Content) -> None:
    with pytest.raises(ValueError, match="neither text nor a picture"):
        lamra.render_embedding(content)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("a cake", "A cake."),
        ('  "a cake?" ', "A cake?"),
        ("a\r\ncake!", "A\ncake!"),
        ("", ""),
        ("Éclair", "Éclair."),
    ],
)
def test_texts_are_tidied_as_upstream(text: str, tidy: str) -> None:
    assert lamra.format_string(text) == tidy


def test_a_query_carries_its_instruction() -> None:
    told = lamra.query_text("Find a picture of it.", "the red cake")
    assert told == "Find a picture of it. the red cake."
    assert lamra.query_text("find a picture", "") == "Find a picture."


HOSTILE = st.text(alphabet="(1)2 3<image>|m_en\n:CandidtesQury", max_size=60)


@given(query=HOSTILE, texts=st.lists(HOSTILE, min_size=1, max_size=5))
def test_no_text_changes_the_pictures_or_the_numbers(query: str, texts: list[str]) -> None:
    candidates = [[Picture(f"blob:{n}"), text] for n, text in enumerate(texts)]
    prompt = lamra.render_listwise([query], candidates, "qwen2.5-vl")
    content = prompt.user[LENGTHS["listwise", "qwen2.5-vl"] :]
    assert content.count(IMAGE) == len(prompt.images) == len(texts)
    numbers = [int(number) for number in re.findall(r"\(([0-9]{1,2})\) ", content)]
    assert numbers == list(range(1, len(texts) + 1))
    assert "\n" not in content


@pytest.mark.parametrize("count", [1, 5, 10])
def test_answers_are_read_as_written_and_no_others(count: int) -> None:
    for position in range(count):
        assert lamra.parse_listwise(f"Ans: ({position + 1})", count) == position
    for wrong in (f"Ans: ({count + 1})", "Ans: (0)", "(1)", "Ans: (1) ", "Ans: (01)", ""):
        with pytest.raises(Malformed):
            lamra.parse_listwise(wrong, count)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((28, 28), (56, 56)),
        ((560, 420), (560, 420)),
        ((1000, 1000), (476, 476)),
        ((84, 84), (84, 84)),
        ((20_000, 100), (6_832, 28)),
    ],
)
def test_pictures_are_fitted_to_the_budget(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert lamra.fitted(*size) == expected


@given(st.integers(28, 4_000), st.integers(28, 4_000))
def test_a_fitted_picture_keeps_the_bounds(width: int, height: int) -> None:
    wide, high = lamra.fitted(width, height)
    assert wide % 28 == high % 28 == 0
    assert wide * high >= lamra.MIN_PIXELS
    if max(width, height) < 100 * min(width, height):
        assert wide * high <= lamra.MAX_PIXELS


def test_mbeir_ids_become_the_numbers_of_the_released_files_and_back() -> None:
    assert lamra.hashed_qid("9:1") == 4_500_001
    assert lamra.hashed_did("9:1") == 90_000_001
    assert lamra.unhashed_qid(4_500_001) == lamra.unhashed_did(90_000_001) == "9:1"


@given(st.integers(0, 99), st.integers(0, 499_999))
def test_no_two_mbeir_ids_share_a_number(dataset: int, number: int) -> None:
    written = f"{dataset}:{number}"
    assert lamra.unhashed_qid(lamra.hashed_qid(written)) == written
    assert lamra.unhashed_did(lamra.hashed_did(written)) == written


@pytest.mark.parametrize("written", ["", "9", "9:", ":1", "a:1", "9:1:2", "-9:1", "9: 1", "９:1"])
def test_what_is_no_mbeir_id_is_refused(written: str) -> None:
    with pytest.raises(Malformed):
        lamra.hashed_qid(written)
    with pytest.raises(Malformed):
        lamra.hashed_did(written)


def test_an_mbeir_id_does_not_reach_into_the_next_dataset() -> None:
    with pytest.raises(Malformed):
        lamra.hashed_qid("9:500000")
    with pytest.raises(Malformed):
        lamra.hashed_did("9:10000000")
    with pytest.raises(Malformed):
        lamra.unhashed_qid(-1)


def test_a_fragment_is_its_turns_in_order_with_pictures_where_they_stand() -> None:
    turns = [
        Utterance(id=0, speaker="ann", content="look"),
        Utterance(id=1, speaker="ben", content=[ImagePart.of("blob:a"), TextPart(text="nice")]),
        Utterance(id=2, speaker="ann", content=[TextPart(text="this"), ImagePart.of("blob:b")]),
    ]
    assert lamra.fragment_content(turns) == [
        "ann: look ben:", Picture("blob:a"), " nice ann: this", Picture("blob:b"),
    ]  # fmt: skip
    assert lamra.fragment_content(turns[2:]) == ["ann: this", Picture("blob:b")]
    assert lamra.fragment_content([Utterance(speaker="ann", content="")]) == ["ann:"]
