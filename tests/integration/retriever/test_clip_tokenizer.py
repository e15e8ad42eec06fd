"""A tokenizer of the hub's kind, as the starter CLIP has it, is one object for many threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from colloquy.registry.store import Registry
from colloquy.sections import ClipSpace
from services.retriever.encoders import load_clip

pytestmark = pytest.mark.integration
STARTER = Path(__file__).parents[3] / "starter"


def test_rows_have_one_length_however_many_threads_count_and_tokenise() -> None:
    space = ClipSpace(kind="open_clip", model="clip@1", threads=1)
    model = load_clip("clip", space, Registry([STARTER]))
    texts = [f"a red boat {'on the sea ' * (number % 9)}" for number in range(2_000)]

    def asked(number: int) -> int:
        text = texts[number]
        return model.count(text) if number % 2 else len(model.tokens(text))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(asked, range(len(texts))))
    assert set(answers[0::2]) == {model.context_tokens}
    assert answers[1::2] == [model.count(text) for text in texts[1::2]]
