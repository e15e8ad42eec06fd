import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.sparse import Bm25, Bm25Settings, term_id

BM25 = Bm25(Bm25Settings(average_terms=10.0))
WORDS = st.text(st.sampled_from("abcdefghstxyz"), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Red SHOES, a shoe's box", ["red", "shoe", "a", "shoe", "s", "box"]),
        ("ponies pass the bus", ["pony", "pass", "the", "bus"]),
        ("ＡＢＣ１２３ ﬁne", ["abc123", "fine"]),
        ("Straße Café", ["strasse", "café"]),
        ("snake_case-and.dots", ["snake", "case", "and", "dot"]),
        ("我来到北京清华大学", ["我", "来到", "北京", "清华", "华大", "大学", "清华大学"]),
        ("买了iPhone手机", ["买", "了", "iphone", "手机"]),
        ("!? … 🙂", []),
        ("", []),
    ],
)
def test_terms_are_words_without_case_and_plural_and_chinese_words_in_search_mode(
    text: str, terms: list[str]
) -> None:
    assert list(BM25.terms(text)) == terms


def test_ids_of_terms_never_change() -> None:
    # Stored vectors hold them.
    assert (term_id("shoe"), term_id("鞋")) == (0x68C188D1, 0xCB749870)


@given(st.text(max_size=200))
def test_any_text_gives_a_sound_vector(text: str) -> None:
    for vector in (BM25.document(text), BM25.query(text)):
        assert list(vector.indices) == sorted(set(vector.indices))
        assert len(vector.indices) == len(vector.values)
        assert all(0 <= index < 2**32 for index in vector.indices)
        assert all(math.isfinite(value) and value > 0 for value in vector.values)


@given(st.text(max_size=100))
def test_a_query_has_one_for_each_term_of_its_document(text: str) -> None:
    assert BM25.query(text).indices == BM25.document(text).indices
    assert set(BM25.query(text).values) <= {1.0}


@given(st.text(max_size=100))
def test_texts_that_read_alike_have_the_same_terms(text: str) -> None:
    terms = list(BM25.terms(text))
    assert list(BM25.terms(unicodedata.normalize("NFD", text))) == terms
    assert list(BM25.terms(unicodedata.normalize("NFC", text))) == terms


@given(st.lists(WORDS, min_size=1, max_size=20), st.randoms())
def test_the_order_of_words_does_not_matter(words: list[str], random: object) -> None:
    shuffled = words.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = BM25.document(" ".join(words)), BM25.document(" ".join(shuffled))
    assert one.indices == other.indices
    assert one.values == pytest.approx(other.values)


def test_weights_are_those_of_okapi() -> None:
    vector = BM25.document("cat cat dog")
    weights = dict(zip(vector.indices, vector.values, strict=True))
    k1, b, length = 1.2, 0.75, 3 / 10
    norm = k1 * (1 - b + b * length)
    assert weights[term_id("cat")] == pytest.approx(2 * (k1 + 1) / (2 + norm))
    assert weights[term_id("dog")] == pytest.approx(1 * (k1 + 1) / (1 + norm))


def test_repetition_counts_less_and_less_and_length_counts_against() -> None:
    def weight(text: str) -> float:
        vector = BM25.document(text)
        return dict(zip(vector.indices, vector.values, strict=True))[term_id("cat")]

    once, twice, thrice = (weight(("cat " * n) + "dog " * (9 - n)) for n in (1, 2, 3))
    assert once < twice < thrice
    assert thrice - twice < twice - once
    assert weight("cat") > weight("cat and a lot of other things beside it")
