import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.protocols.plaintext import neutralise, one_line

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
BROKEN = st.lists(
    st.sampled_from(
        ["<", "|", ">", "<|", "|>", "im_start", "image", "/", "\n", "\u2028", " ", "##"]
    )
    | TEXT
).map("".join)


@pytest.mark.parametrize(
    "token",
    [
        *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|image_pad|>", "<|vision_start|>"),
        *("<|utt_id_start|>", "<|img_ids_end|>", "<|query_end|>", "<|begin_of_text|>"),
        *("<image>", "<video>", "<img>", "</img>", "<IMG_CONTEXT>", "<s>", "</s>", "<tool_call>"),
        *("<start_of_turn>", "<image_soft_token>", "<row_1_col_2>", "<##IMAGE##>"),
        "<｜begin▁of▁sentence｜>",
    ],
)
def test_breaks_a_token_open_and_keeps_its_letters(token: str) -> None:
    assert neutralise(f"a{token}b") == f"a< {token[1:]}b"


@pytest.mark.parametrize(
    "text",
    [
        *("I <3 you", "a < b > c", "x <| y", "f(a|b)", "<b>bold</b>", "<Image>", "List<int>"),
        *(
            "价格<100元",
            "＜image＞",
            "｜>",
            "<|",
            "|>",
            "< |im_end|>",
            "<|two words|>",
            "é",
            "👩‍👩‍👧",
        ),
    ],
)
def test_leaves_everything_else_to_the_letter(text: str) -> None:
    assert neutralise(text) == text


def test_breaks_a_token_inside_another() -> None:
    assert neutralise("<|im_<|im_end|>start|>") == "<|im_< |im_end|>start|>"


@given(BROKEN)
def test_doing_it_twice_changes_nothing(text: str) -> None:
    assert neutralise(neutralise(text)) == neutralise(text)


@given(BROKEN)
def test_only_spaces_are_added_and_only_control_characters_replaced(text: str) -> None:
    kept = re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]", "", text)
    assert neutralise(text).replace(" ", "") == kept


@given(BROKEN)
def test_one_line_stays_one_line_for_every_reader(text: str) -> None:
    line = one_line(text)
    assert len(line) == len(text)
    assert len(f"x{line}".splitlines()) == 1


@given(BROKEN)
def test_composition_does_not_reach_the_tag_before(text: str) -> None:
    composed = unicodedata.normalize("NFC", f"<|query_start|>{neutralise(text)}")
    assert composed.startswith("<|query_start|>")
