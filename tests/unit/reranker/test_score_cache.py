import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from colloquy.contracts.generation import Usage
from colloquy.servicekit.problems import DeadlineExceeded, UpstreamFailed
from services.reranker.score_cache import Score, ScoreCache, Source, Told

Ask = Callable[[], Coroutine[Any, Any, Told]]


def told(value: float) -> Told:
    return Told(Score((value,), trimmed=False), Usage(model_calls=1))


def says(value: float) -> Ask:
    async def ask() -> Told:
        return told(value)

    return ask


class Slow:
    """A question that is answered when it is told to."""

    def __init__(self, value: float = 0.5, failure: Exception | None = None) -> None:
        self.asked = self.cancelled = 0
        self.answer = asyncio.Event()
        self._value = value
        self._failure = failure

    async def __call__(self) -> Told:
        self.asked += 1
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._failure is not None:
            raise self._failure
        return told(self._value)


async def begun(*work: Coroutine[Any, Any, Any]) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.create_task(one) for one in work]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_was_told_is_known_and_costs_nothing() -> None:
    cache = ScoreCache(10)
    first, source = await cache.find(b"k", says(0.25))
    again, known = await cache.find(b"k", says(0.75))

    assert (first.score, source) == (told(0.25).score, Source.ASKED)
    assert (again, known) == (Told(first.score, Usage()), Source.CACHED)


async def test_the_least_recently_used_score_is_forgotten_first() -> None:
    cache = ScoreCache(2)
    for key in (b"a", b"b", b"a", b"c"):
        await cache.find(key, says(0.5))

    assert cache.known(b"b") is None
    assert cache.known(b"a") is not None
    assert cache.known(b"c") is not None


async def test_a_cache_of_nothing_still_answers() -> None:
    cache = ScoreCache(0)
    assert (await cache.find(b"k", says(0.5)))[1] is Source.ASKED
    assert (await cache.find(b"k", says(0.5)))[1] is Source.ASKED


async def test_equal_questions_under_way_are_one() -> None:
    cache, slow = ScoreCache(10), Slow()
    tasks = await begun(*(cache.find(b"k", slow) for _ in range(5)))
    slow.answer.set()
    found = await asyncio.gather(*tasks)

    assert slow.asked == 1
    assert [source for _, source in found].count(Source.ASKED) == 1
    assert [source for _, source in found].count(Source.SHARED) == 4
    assert {one.score for one, _ in found} == {told(0.5).score}


async def test_a_question_goes_on_for_the_others_when_who_began_it_leaves() -> None:
    cache, slow = ScoreCache(10), Slow()
    first, second = await begun(cache.find(b"k", slow), cache.find(b"k", slow))
    first.cancel()
    await begun()
    assert slow.cancelled == 0
    slow.answer.set()

    assert (await second)[0].score == told(0.5).score
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_question_that_nobody_waits_for_any_longer_ends() -> None:
    cache, slow = ScoreCache(10), Slow()
    tasks = await begun(cache.find(b"k", slow), cache.find(b"k", slow))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await begun()

    assert slow.cancelled == 1
    assert (await cache.find(b"k", says(0.75)))[0].score == told(0.75).score


async def test_a_failure_is_everybodys_and_is_not_remembered() -> None:
    cache, slow = ScoreCache(10), Slow(failure=UpstreamFailed("broken"))
    tasks = await begun(cache.find(b"k", slow), cache.find(b"k", slow))
    slow.answer.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(one, UpstreamFailed) for one in found)
    assert (await cache.find(b"k", says(0.5)))[1] is Source.ASKED


async def test_who_has_more_time_asks_again_when_anothers_time_is_up() -> None:
    cache, late = ScoreCache(10), Slow(failure=DeadlineExceeded())
    first, second = await begun(cache.find(b"k", late), cache.find(b"k", says(0.5)))
    late.answer.set()

    with pytest.raises(DeadlineExceeded):
        await first
    assert await second == (told(0.5), Source.ASKED)
