"""BM25 over the utterances of one dialogue: what a search engine would do."""

import logging
import warnings
from functools import cache, lru_cache
from typing import Any

SMOOTHING_TURNS = (0, 1, 2, 3)


@lru_cache(maxsize=4_096)  # tuning asks for the same scores hundreds of times
def bm25_scores(texts: tuple[str, ...], query: str) -> tuple[float, ...]:
    """How well each text answers the query; the texts are the whole corpus."""
    from rank_bm25 import BM25Okapi

    corpus = [words(text) for text in texts]
    if not any(corpus):
        return (0.0,) * len(texts)
    return tuple(float(score) for score in BM25Okapi(corpus).get_scores(words(query)))


@lru_cache(maxsize=16_384)
def smoothed(scores: tuple[float, ...], reach_turns: int) -> tuple[float, ...]:
    """Adds to each turn what its neighbours scored, the less the farther: a fragment is a run."""
    return tuple(
        sum(
            scores[other] / (1 + abs(other - turn))
            for other in range(max(0, turn - reach_turns), min(len(scores), turn + reach_turns + 1))
        )
        for turn in range(len(scores))
    )


def words(text: str) -> list[str]:
    """Lower-cased words; Chinese is cut by jieba."""
    return [word for word in _jieba().cut(text.lower()) if any(map(str.isalnum, word))]


@cache
def _jieba() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what setuptools is about to remove
        import jieba
    jieba.setLogLevel(logging.ERROR)
    return jieba
