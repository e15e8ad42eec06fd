"""How a CLIP's texts become tokens, whatever the text and however many threads ask."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import open_clip
import pytest

from colloquy.registry.store import Registry
from colloquy.sections import ClipSpace
from services.retriever.encoders import ClipModel, load_clip
from tests import starter
from tests.integration.retriever.clips import write_clip

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> ClipModel:
    """A model with open_clip's own tokenizer."""
    folder = write_clip(tmp_path_factory.mktemp("clip") / "m")
    return load_clip("c", ClipSpace(kind="open_clip", model=str(folder)), Registry([]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It's a RED &amp; blue boat, isn't it?",
        "https://example.org/a-long/path_with.many?parts=17&more=x",
        "红色的鞋子" * 3,
        "pneumonoultramicroscopicsilicovolcanoconiosis!!!",
    ],
)
def test_tokens_are_those_of_open_clip(own: ClipModel, text: str) -> None:
    reference = open_clip.SimpleTokenizer()
    assert own.tokens(text).tolist() == reference([text])[0].tolist()
    assert own.count(text) == len(reference.encode(text)) + 2


def test_a_word_without_an_end_is_read_in_time_that_grows_with_it(own: ClipModel) -> None:
    letters = random.Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=100_000)
    # Read whole it takes the square of its length: hours.
    assert 20_000 < own.count("".join(letters)) < 100_000


def test_words_that_never_come_again_do_not_fill_the_memory(own: ClipModel) -> None:
    tokenizer: Any = own._texts._tokenizer
    words = map("".join, itertools.product("bcdfghjklmnpqrstvwxz", repeat=4))
    most = 0
    for _ in range(75):
        own.count(" ".join(itertools.islice(words, 1_000)))
        most = max(most, len(tokenizer.cache))
    assert 60_000 < most < 70_000
    assert own.count("<end_of_text> x") == 3, "marks are still known as such"


def test_rows_have_one_length_however_many_threads_count_and_tokenise() -> None:
    space = ClipSpace(kind="open_clip", model=starter.named("clip"), threads=1)
    model = load_clip("clip", space, Registry([starter.STARTER]))
    texts = [f"a red boat {'on the sea ' * (number % 9)}" for number in range(2_000)]

    def asked(number: int) -> int:
        text = texts[number]
        return model.count(text) if number % 2 else len(model.tokens(text))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(asked, range(len(texts))))
    assert set(answers[0::2]) == {model.context_tokens}
    assert answers[1::2] == [model.count(text) for text in texts[1::2]]
