import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.engine.requests import FirstToken
from colloquy.protocols import lamra
from services.reranker.answers import AFTER, BEFORE, Answers, CannotScore, read_answers


async def letters(text: str) -> list[int]:
    """As a tokenizer that writes each letter by itself."""
    return [ord(letter) for letter in text]


async def merged_ten(text: str) -> list[int]:
    """As one that knows `10` as a token of its own."""
    return [ord(letter) for letter in text.replace("10", "\u2169")]


def probabilities(*weights: float) -> FirstToken:
    return FirstToken(tuple(weight / sum(weights) for weight in weights), 10, 5)


def test_what_surrounds_a_number_is_the_published_form() -> None:
    for number in range(1, lamra.MAX_LISTED + 1):
        assert lamra.parse_listwise(f"{BEFORE}{number}{AFTER}", lamra.MAX_LISTED) == number - 1


async def test_yes_and_no_are_known_by_their_first_tokens() -> None:
    tokens = await read_answers(letters)
    assert (tokens.yes, tokens.no) == (ord("Y"), ord("N"))


async def test_ten_is_told_by_one_token_where_it_has_one() -> None:
    tokens = await read_answers(merged_ten)
    assert tokens.most_listed == 10
    assert tokens.ten is None
    assert tokens.numbers[-1] == ord("\u2169")


async def test_ten_is_told_by_what_follows_where_it_begins_as_one() -> None:
    tokens = await read_answers(letters)
    assert tokens.most_listed == 10
    assert tokens.ten == (ord(")"), ord("0"))


async def test_a_list_ends_at_nine_where_ten_cannot_be_told_from_one() -> None:
    async def shifting(text: str) -> list[int]:
        # `(1` is a token, but not in `(10)`: the beginning of an answer is no beginning there.
        return await letters(text.replace("(1)", "\u2474").replace("(10)", "(1\u2793"))

    tokens = await read_answers(shifting)
    assert tokens.most_listed < 10


async def test_numbers_that_begin_alike_end_the_list() -> None:
    async def same_after_four(text: str) -> list[int]:
        return await letters("".join("4" if letter in "56789" else letter for letter in text))

    assert (await read_answers(same_after_four)).most_listed == 4


@pytest.mark.parametrize("common", ["<s>", " "])
async def test_answers_that_begin_alike_are_refused(common: str) -> None:
    async def tokenize(text: str) -> list[int]:
        return await letters(common + text)

    with pytest.raises(CannotScore, match="the same token"):
        await read_answers(tokenize)


async def test_a_tokenizer_that_drops_everything_is_refused() -> None:
    async def nothing(_: str) -> list[int]:
        return []

    with pytest.raises(CannotScore):
        await read_answers(nothing)


async def test_a_server_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(CannotScore, match="how it writes tokens"):
        await Answers(None).of("m")


async def test_a_model_is_asked_for_its_tokens_once() -> None:
    asked = []

    async def tokenize(text: str) -> list[int]:
        asked.append(text)
        return await letters(text)

    answers = Answers(tokenize)
    await answers.of("rank@1")
    once = len(asked)
    await answers.of("rank@1")
    assert len(asked) == once
    await answers.of("rank@2")
    assert len(asked) == 2 * once


WEIGHTS = st.floats(0.001, 1_000)


@given(
    first=st.lists(WEIGHTS, min_size=9, max_size=9),
    then=st.tuples(WEIGHTS, WEIGHTS),
    count=st.integers(2, 10),
)
async def test_probabilities_over_a_list_sum_to_one(
    first: list[float], then: tuple[float, float], count: int
) -> None:
    tokens = await read_answers(letters)

    async def ask(begun: str, ids: object) -> FirstToken:
        return probabilities(*(then if begun == "Ans: (1" else first[: min(count, 9)]))

    found, told = await tokens.p_numbers(count, ask)
    assert len(found) == count
    assert sum(found) == pytest.approx(1.0, abs=1e-9)
    assert len(told) == (2 if count == 10 else 1)
    if count == 10:
        assert found[9] / found[0] == pytest.approx(then[1] / then[0])
