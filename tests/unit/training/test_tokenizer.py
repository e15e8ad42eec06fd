"""The tokenizer: any text comes back, numbers and tags are single tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from training import tokenizer


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return tokenizer.build(2600, dialogues=40)


@given(st.text(max_size=60))
def test_any_text_comes_back(small: Tokenizer, text: str) -> None:
    ids = small.encode(text).ids
    assert small.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", [*tokenizer.TAGS, *tokenizer.SPECIAL, "0", "57", ", ", "Yes"])
def test_what_answers_are_made_of_is_one_token(small: Tokenizer, text: str) -> None:
    assert len(small.encode(text).ids) == 1


def test_tags_stay_in_decoded_text_and_special_tokens_do_not(small: Tokenizer) -> None:
    ids = small.encode("<|utt_ids_start|>[1]<|utt_ids_end|><|im_end|>").ids
    assert small.decode(ids) == "<|utt_ids_start|>[1]<|utt_ids_end|>"
