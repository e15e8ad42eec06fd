"""BM25 as sparse vectors: terms of English and Chinese, their ids, their weights.

A document's vector holds the part of BM25 that depends on the document alone, a query's holds one
for each term, and the store multiplies by the inverse document frequency it knows: their product is
Okapi BM25. The average length is a constant, as FastEmbed and Qdrant have it, because a stored
weight cannot follow an average that moves.
"""

import hashlib
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import Any

from pydantic import Field

from colloquy.sections import Section
from services.retriever.domain import SparseVector

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_RUN = re.compile(f"(?P<han>[{_HAN}]+)|[^\\W_{_HAN}]+")


class Bm25Settings(Section):
    """How BM25 weighs terms. Stored weights keep what they were made with: change, then reindex."""

    k1: float = Field(default=1.2, ge=0, description="How slowly repetition saturates.")
    b: float = Field(default=0.75, ge=0, le=1, description="How much length counts.")
    average_terms: float = Field(default=100.0, gt=0, description="Of a fragment; a constant.")


class Bm25:
    """Makes vectors. Blocking: the first call loads the Chinese dictionary, which takes a second;
    any thread may call."""

    def __init__(self, settings: Bm25Settings) -> None:
        self._settings = settings
        self._segmenter: Any = None
        self._loading = Lock()

    def load(self) -> None:
        """Loads the dictionary now."""
        self._loaded()

    def document(self, text: str) -> SparseVector:
        counts = Counter(map(term_id, self.terms(text)))
        k1, b = self._settings.k1, self._settings.b
        length = counts.total() / self._settings.average_terms
        norm = k1 * (1 - b + b * length)
        return _vector({term: n * (k1 + 1) / (n + norm) for term, n in counts.items()})

    def query(self, text: str) -> SparseVector:
        return _vector(dict.fromkeys(map(term_id, self.terms(text)), 1.0))

    def terms(self, text: str) -> Iterator[str]:
        """The terms of a text, in order: words without case and plural, Chinese words and the
        shorter words inside them."""
        for run in _RUN.finditer(_folded(text)):
            if run["han"] is None:
                yield _singular(run[0])
            else:
                # Without the model of unknown words: it would cut the same characters one way in a
                # query and another way in a document.
                yield from self._loaded().cut_for_search(run[0], HMM=False)

    def _loaded(self) -> Any:
        with self._loading:
            if self._segmenter is None:
                self._segmenter = _load_segmenter()
            return self._segmenter


@lru_cache(maxsize=65_536)
def term_id(term: str) -> int:
    """A stable id of 32 bits; two terms that share one are told apart by the encoders alone."""
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "big")


def _vector(weights: dict[int, float]) -> SparseVector:
    ordered = sorted(weights.items())
    return SparseVector(tuple(term for term, _ in ordered), tuple(weight for _, weight in ordered))


def _folded(text: str) -> str:
    """One form for what reads alike: full-width letters, ligatures, capitals."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Folding may take a composed letter apart; and a lone surrogate is no character to hash.
    return unicodedata.normalize("NFKC", folded).encode("utf-8", "replace").decode()


def _singular(word: str) -> str:
    """Harman's S-stemmer ("How effective is suffixing?", JASIS 42, 1991)."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1]
    return word


@lru_cache(maxsize=1)
def _load_segmenter() -> Any:
    """The dictionary never changes, and holds 350,000 words: one is enough for a process."""
    with warnings.catch_warnings():
        # It imports `pkg_resources`, which says that it is old.
        warnings.simplefilter("ignore")
        import jieba
    segmenter = jieba.Tokenizer()
    # Read from the package: jieba itself would keep a marshalled copy in the shared temporary
    # folder, where another user may have put one.
    with segmenter.get_dict_file() as dictionary:
        segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(dictionary)
    segmenter.initialized = True
    return segmenter
