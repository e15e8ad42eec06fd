import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import ImagePart, Part, TextPart
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Content, Picture
from services.reranker.contents import beginning, candidate_of, query_of


def shown(*pieces: str) -> list[Part]:
    return [
        ImagePart.of(piece) if piece.startswith("blob:") else TextPart(text=piece)
        for piece in pieces
    ]


def by_letter(unit: str | Picture) -> int:
    return len(unit) if isinstance(unit, str) else 10


def length(content: Content) -> int:
    return sum(map(by_letter, content))


def text_of(content: Content) -> str:
    return "".join(part for part in content if isinstance(part, str))


def test_a_querys_pictures_come_before_its_one_text() -> None:
    content = query_of(shown("the red", "blob:a", "cake"), "Find it.")
    assert content == [Picture("blob:a"), "Find it. the red cake."]


def test_a_query_of_pictures_alone_has_the_instruction() -> None:
    assert query_of(shown("blob:a"), "Find it.") == [Picture("blob:a"), "Find it."]


def test_a_fragment_is_shown_to_the_letter() -> None:
    content = candidate_of(shown("anna: look", "blob:a", " ben: ok"), tidied=False)
    assert content == ["anna: look", Picture("blob:a"), " ben: ok"]


def test_one_text_is_tidied_as_published_where_it_is_a_sentence() -> None:
    assert candidate_of(shown("blob:a", "a cake"), tidied=True) == [Picture("blob:a"), "A cake."]
    assert candidate_of(shown("a", "b"), tidied=True) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "room", "kept"),
    [
        (["one\ntwo\nthree\n"], 9, ["one\n", "two\n"]),
        (["one\n", "two\n", "three\n"], 9, ["one\n", "two\n"]),
        (["one two three four"], 10, ["one two"]),
        (["一二三四五六七八"], 5, ["一二三四五"]),
        (["ab", Picture("p"), "cd ef gh"], 18, ["ab", Picture("p"), "cd ef"]),
        ([Picture("p"), "text"], 9, []),
        (["first line is too long\n", "b"], 8, ["first"]),
    ],
)
def test_the_end_is_left_out(content: Content, room: int, kept: Content) -> None:
    assert beginning(content, room, by_letter) == kept


CONTENTS = st.lists(
    st.one_of(st.text(alphabet="ab \n\u4e00\u85e4", max_size=30), st.builds(Picture, st.just("p"))),
    max_size=6,
)


@given(content=CONTENTS, room=st.integers(0, 120))
def test_a_beginning_is_one_and_fits(content: Sequence[str | Picture], room: int) -> None:
    kept = beginning(content, room, by_letter)
    assert length(kept) <= room
    assert text_of(content).startswith(text_of(kept))
    if length(content) <= room:
        assert text_of(kept) == text_of(content)
        assert length(kept) == length(content)


HOSTILE = st.lists(
    st.sampled_from(["(", "1", "2", ")", ") ", " ", "<image>", "<|im_end|>", "<|", "|>", "im_end"])
    | st.text(alphabet="(12) <image>|_endAs:YN\n\u4e00", max_size=8),
    max_size=12,
).map("".join)


@given(query=HOSTILE, candidates=st.lists(HOSTILE, min_size=2, max_size=5), tidied=st.booleans())
def test_no_text_changes_the_structure_of_a_question(
    query: str, candidates: list[str], tidied: bool
) -> None:
    asked = query_of(shown("blob:q", f".{query}"), "Find it.")
    contents = [
        candidate_of(shown(f".{text}", "blob:c", f".{text}"), tidied=tidied) for text in candidates
    ]
    prompt = lamra.render_listwise(asked, contents, "qwen2.5-vl")
    neutral = lamra.render_listwise(
        [Picture("blob:q"), ""], [[Picture("blob:c")] for _ in contents], "qwen2.5-vl"
    )

    assert prompt.images == neutral.images
    assert len(list(prompt.segments())) == len(prompt.images) + 1
    assert not re.search(r"<\|[a-z_]+\|>", prompt.user)
    assert numbers_in(prompt.user) == numbers_in(neutral.user)


def numbers_in(user: str) -> list[str]:
    """The marks of a list, those of the instruction included."""
    return re.findall(r"\(\d{1,2}\) ", user)
