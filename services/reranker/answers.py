"""Which tokens an answer begins with, and how probabilities of tokens become scores."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from colloquy.engine.requests import FirstToken
from colloquy.protocols import lamra
from colloquy.servicekit.problems import Unavailable

BEFORE, AFTER = "Ans: (", ")"
"""What stands around the number of a listwise answer."""
_TEN = 10

Tokenize = Callable[[str], Awaitable[list[int]]]
Ask = Callable[[str, Sequence[int]], Awaitable[FirstToken]]
"""Asks for the probabilities of some tokens after the beginning of an answer."""


class CannotScore(Unavailable):
    """The model's tokenizer does not tell the answers apart; waiting does not help."""


@dataclass(frozen=True, slots=True)
class AnswerTokens:
    """The answers in one model's tokens.

    Attributes:
        yes, no: what `Yes` and `No` begin with.
        numbers: what follows `Ans: (`, for 1, 2, …; as many as can be told apart.
        ten: where 10 begins with the token of 1: what follows it in `1)` and in `10)`.
    """

    yes: int
    no: int
    numbers: tuple[int, ...]
    ten: tuple[int, int] | None = None

    @property
    def most_listed(self) -> int:
        return len(self.numbers) + (self.ten is not None)

    async def p_yes(self, ask: Ask) -> tuple[list[float], list[FirstToken]]:
        """P(Yes | Yes or No), and the engine's answers that it was made of."""
        told = await ask("", [self.yes, self.no])
        return [told.probabilities[0]], [told]

    async def p_numbers(self, count: int, ask: Ask) -> tuple[list[float], list[FirstToken]]:
        """P(number) of 1 to `count`; they sum to 1. One question, or two where 10 needs it."""
        tokens = self.numbers[:count]
        calls = [ask(BEFORE, tokens)]
        if count > len(tokens):
            assert self.ten is not None
            calls.append(ask(f"{BEFORE}1", self.ten))
        told = list(await asyncio.gather(*calls))
        found = list(told[0].probabilities)
        if len(told) > 1:
            one = found[0]
            ends, goes_on = told[1].probabilities
            found[0] = one * ends
            found.append(one * goes_on)
        return found, told


async def read_answers(tokenize: Tokenize) -> AnswerTokens:
    """Asks a tokenizer for the answers' tokens.

    Raises:
        CannotScore: `Yes` and `No` begin with the same token, or with none.
    """
    yes, no = await asyncio.gather(tokenize(lamra.YES), tokenize(lamra.NO))
    if not yes or not no or yes[0] == no[0]:
        raise CannotScore("the model's tokenizer begins `Yes` and `No` with the same token")
    before, one, *listed = await asyncio.gather(
        tokenize(BEFORE),
        tokenize(f"{BEFORE}1"),
        *(tokenize(f"{BEFORE}{number}{AFTER}") for number in range(1, lamra.MAX_LISTED + 1)),
    )
    following = [_after(before, tokens) for tokens in listed]
    numbers: list[int] = []
    for tokens in following:
        if not tokens or tokens[0] in numbers:
            break
        numbers.append(tokens[0])
    ten = None
    if len(numbers) == _TEN - 1:
        ends, goes_on = _after(one, listed[0]), _after(one, listed[_TEN - 1])
        if ends and goes_on and ends[0] != goes_on[0] and _after(before, one) == [numbers[0]]:
            ten = (ends[0], goes_on[0])
    return AnswerTokens(yes[0], no[0], tuple(numbers), ten)


def _after(beginning: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """The tokens that follow `beginning`; none where it is no beginning of theirs."""
    size = len(beginning)
    return list(tokens[size:]) if list(tokens[:size]) == list(beginning) else []


class Answers:
    """The answers' tokens of every model that was asked, read once each."""

    def __init__(self, tokenize: Tokenize | None) -> None:
        self._tokenize = tokenize
        self._known: dict[str, AnswerTokens] = {}

    async def of(self, model: str) -> AnswerTokens:
        """The tokens of `model`, which is the one that the engine serves now.

        Raises:
            CannotScore: it cannot be asked for scores. Unavailable: the engine is down.
        """
        if self._tokenize is None:
            raise CannotScore("the model's server does not say how it writes tokens")
        found = self._known.get(model)
        if found is None:
            found = self._known[model] = await read_answers(self._tokenize)
        return found
