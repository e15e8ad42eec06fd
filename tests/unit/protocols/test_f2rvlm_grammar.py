"""The grammars against the matcher that vLLM holds a model with."""

import itertools
import time
from collections.abc import Iterator, Sequence

import pytest
import xgrammar
from hypothesis import given
from hypothesis import strategies as st
from xgrammar.testing import _is_grammar_accept_string

from colloquy.protocols import f2rvlm


def _admits(grammar: str, text: str) -> bool:
    return bool(_is_grammar_accept_string(xgrammar.Grammar.from_ebnf(grammar), text))


def _subsets(ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(len(ids) + 1):
        yield from itertools.combinations(ids, size)


def _runs(ids: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to cut `ids` into runs of neighbours."""
    for cuts in itertools.product([False, True], repeat=len(ids) - 1):
        fragments = [[ids[0]]]
        for number, cut in zip(ids[1:], cuts, strict=True):
            if cut:
                fragments.append([number])
            else:
                fragments[-1].append(number)
        yield fragments


@pytest.mark.parametrize("ids", [[], [0], [0, 1, 2], [98, 99, 100, 101]])
@pytest.mark.parametrize("images", [0, 1, 3])
def test_admits_every_answer_over_the_ids_that_exist(ids: list[int], images: int) -> None:
    grammar = f2rvlm.fragment_grammar(ids, images)
    for utterances in _subsets(ids):
        for pictures in _subsets(range(images)):
            assert _admits(grammar, f2rvlm.format_answer(utterances, pictures))


@pytest.mark.parametrize(
    ("utterances", "images"),
    [([3], []), ([1, 1], []), ([2, 1], []), ([0, 0], [0]), ([], [2]), ([], [1, 0]), ([12], [])],
)
def test_admits_no_other_id_no_repeat_and_no_other_order(
    utterances: list[int], images: list[int]
) -> None:
    grammar = f2rvlm.fragment_grammar([0, 1, 2], 2)
    assert not _admits(grammar, f2rvlm.format_answer(utterances, images))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[0]",
        "<|utt_ids_start|>[0,1]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>",
        "<|utt_ids_start|>[0, ]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>",
        "<|utt_ids_start|>[, 0]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>",
        "<|utt_ids_start|>[00]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>",
        "<|utt_ids_start|>[0]<|utt_ids_end|>; <|img_ids_start|>[]<|img_ids_end|>",
        "<|utt_ids_start|>[0]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>\n",
        "<think>hm</think><|utt_ids_start|>[0]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>",
    ],
)
def test_admits_no_other_form(text: str) -> None:
    assert not _admits(f2rvlm.fragment_grammar([0, 1, 2], 2), text)


@given(ids=st.sets(st.integers(0, 120), max_size=40), chosen=st.data())
def test_what_the_grammar_admits_the_strict_parser_reads(
    ids: set[int], chosen: st.DataObject
) -> None:
    existing = sorted(ids)
    picked = chosen.draw(st.sets(st.sampled_from(existing)) if existing else st.just(set()))
    answer = f2rvlm.Answer(tuple(sorted(picked)), (0, 2))
    text = f2rvlm.format_answer(answer.utterance_ids, answer.image_ids)

    assert _admits(f2rvlm.fragment_grammar(existing, 3), text)
    assert f2rvlm.parse_answer(text) == answer
    assert f2rvlm.parse_answer_tolerant(text) == answer


@pytest.mark.parametrize("ids", [[0], [0, 1], [0, 1, 2, 3], [99, 100, 101]])
def test_a_split_may_cut_anywhere_between_neighbours(ids: list[int]) -> None:
    grammar = f2rvlm.split_grammar(ids)
    for fragments in _runs(ids):
        text = f2rvlm.format_split(fragments)
        assert _admits(grammar, text)
        assert f2rvlm.parse_split(text) == fragments
        assert f2rvlm.is_partition(fragments, ids)


@pytest.mark.parametrize(
    "fragments",
    [[], [[]], [[0, 1]], [[0, 2], [1, 3, 4]], [[1], [0, 2]], [[0, 1], [1, 2]], [[0, 1], [], [2]]],
)
def test_a_split_has_every_turn_once_in_order(fragments: list[list[int]]) -> None:
    assert not _admits(f2rvlm.split_grammar(range(6)), f2rvlm.format_split(fragments))
    assert not _admits(f2rvlm.split_grammar(range(3)), f2rvlm.format_split([[0, 1, 2, 3]]))


@pytest.mark.parametrize("turns", range(1, 8))
def test_the_last_turns_may_be_left_to_the_fragment_before_them(turns: int) -> None:
    grammar = f2rvlm.split_grammar(range(turns))
    for told in range(1, turns + 1):
        fragments = [[number] for number in range(told)]
        few = turns - told <= f2rvlm.SPLIT_TAIL
        assert _admits(grammar, f2rvlm.format_split(fragments)) is few
        whole = f2rvlm.with_tail(fragments, range(turns))
        assert f2rvlm.is_partition(whole, range(turns)) is few
        assert whole[:-1] == fragments[:-1]


@pytest.mark.parametrize(
    ("fragments", "whole"),
    [
        ([], []),
        ([[2, 3], [0, 1]], [[2, 3, 4, 5], [0, 1]]),  # the turns before them, wherever that stands
        ([[0, 1], [3, 4]], [[0, 1], [3, 4]]),  # 2 is missing inside: that is no lost count
        ([[0, 1, 2, 3, 4, 5], []], [[0, 1, 2, 3, 4, 5], []]),
        ([[1, 2, 3, 4]], [[1, 2, 3, 4]]),
    ],
)
def test_only_what_is_missing_at_the_end_is_added(
    fragments: list[list[int]], whole: list[list[int]]
) -> None:
    assert f2rvlm.with_tail(fragments, range(6)) == whole


def test_a_dialogue_without_turns_has_no_split() -> None:
    with pytest.raises(ValueError, match="without turns"):
        f2rvlm.split_grammar([])


@pytest.mark.parametrize(("ids", "images", "within_ms"), [(100, 20, 500), (1_000, 20, 3_000)])
def test_compiling_is_cheap(ids: int, images: int, within_ms: int) -> None:
    # 8 and 140 ms on two busy cores, whatever the vocabulary; the bound only catches a blow-up.
    vocabulary = [bytes([byte]) for byte in range(256)] + [str(n).encode() for n in range(10, 1000)]
    tokens = xgrammar.TokenizerInfo(vocabulary, stop_token_ids=[0])
    compiler = xgrammar.GrammarCompiler(tokens, max_threads=1, cache_enabled=False)

    started = time.process_time()
    compiler.compile_grammar(f2rvlm.fragment_grammar(range(ids), images))
    compiler.compile_grammar(f2rvlm.split_grammar(range(ids)))

    assert (time.process_time() - started) * 1000 < within_ms
