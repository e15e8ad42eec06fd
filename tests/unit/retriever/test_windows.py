import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.windows import windows

TEXTS = st.text(st.sampled_from("abc é中\n "), max_size=120)


def words(text: str) -> int:
    return len(text.split())


@given(TEXTS, st.integers(1, 40))
def test_every_piece_fits_and_no_character_is_lost(text: str, most: int) -> None:
    pieces = windows(text, len, most)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    if len(text) > most:
        assert all(len(piece) <= most for piece in pieces)
    else:
        assert pieces == [text]


@given(TEXTS, st.integers(1, 20))
def test_words_stay_whole_where_they_fit(text: str, most: int) -> None:
    assert [word for piece in windows(text, words, most) for word in piece.split()] == text.split()


def test_it_is_cut_between_lines_first() -> None:
    assert windows("one two\nthree\nfour five", words, 3) == ["one two\nthree", "four five"]


def test_a_line_too_long_is_cut_between_words() -> None:
    assert windows("one two three four five", words, 2) == ["one two", "three four", "five"]


def test_a_word_too_long_is_cut_between_characters() -> None:
    assert windows("a bcdefgh i", len, 3) == ["a ".strip(), "bcd", "efg", "h i"]


def test_a_character_that_does_not_fit_stands_alone() -> None:
    assert windows("中文", lambda text: 3 * len(text), 2) == ["中", "文"]


def test_nothing_but_space_is_one_empty_piece() -> None:
    assert windows("   \n  ", len, 2) == [""]


def test_a_long_word_is_measured_few_times() -> None:
    measured = 0

    def size(text: str) -> int:
        nonlocal measured
        measured += 1
        return len(text)

    assert len(windows("x" * 10_000, size, 100)) == 100
    assert measured < 4_000


@pytest.mark.parametrize("most", [77, 1_000, 20_000])
@pytest.mark.parametrize(
    "text",
    ["a cake for grandma " * 5_200, "a cake\nfor grandma\n" * 5_200, "cake" * 25_000],
    ids=["one line", "many lines", "one word"],
)
def test_what_is_measured_is_a_few_times_the_text(text: str, most: int) -> None:
    calls, characters = 0, 0

    def size(piece: str) -> int:
        nonlocal calls, characters
        calls, characters = calls + 1, characters + len(piece)
        return len(piece)

    pieces = windows(text, size, most)

    assert all(len(piece) <= most for piece in pieces)
    assert characters < 16 * len(text)
    assert calls < 12 * len(pieces) + 100
