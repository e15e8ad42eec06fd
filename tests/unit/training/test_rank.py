"""Candidates that share a prompt's beginning are judged as they are alone."""

import random
from functools import cache

import pytest
import torch
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from tests import starter
from tests.unit.training import tiny
from training.data import judgements, lamra, pairs
from training.data.lamra_rows import LamraRows
from training.embed import Reader
from training.judge import Judge

BASE = starter.folder_of("base")


class Bare(torch.nn.Module):
    """A base without an adapter, under the one name that is asked for."""

    def __init__(self, base: Qwen2VLForConditionalGeneration) -> None:
        super().__init__()
        self._base = base

    def get_base_model(self) -> Qwen2VLForConditionalGeneration:
        return self._base


@cache
def _parts() -> tuple[Bare, object]:
    base = Qwen2VLForConditionalGeneration.from_pretrained(BASE, dtype=torch.float32)
    return Bare(base.eval()), AutoProcessor.from_pretrained(BASE)


def test_a_candidate_is_a_line_that_tells_what_its_turns_tell() -> None:
    rows = _rows()
    decode = tiny.processor().tokenizer.decode
    judgement = judgements.make_judgement(random.Random(3), 2, of=_pool())
    for candidate in (judgement.right, *judgement.wrong):
        row = rows.pointwise(judgement.query, candidate, meets=candidate is judgement.right)
        line = decode(row.encoded.ids[row.line_of == 0])
        first, last = candidate.turns[0], candidate.turns[-1]
        assert line.startswith(first.speaker)
        assert first.text in line
        assert last.text in line
        assert "Candidate" not in line
        assert "<|im_end|>" not in line
        assert row.told == (candidate.told,)
        answer = decode(row.encoded.ids[row.encoded.answer])
        assert answer == ("Yes<|im_end|>" if row.answers[0] else "No<|im_end|>")


def test_a_list_names_the_line_that_meets_the_query() -> None:
    judgement = judgements.make_judgement(random.Random(4), 3, of=_pool())
    decode = tiny.processor().tokenizer.decode
    row = _rows().listwise(judgement, random.Random(1))
    assert len(row.told) == 4
    (right,) = row.answers.nonzero()[0].tolist()
    assert row.told[right] == judgement.right.told
    assert decode(row.encoded.ids[row.encoded.answer]) == f"Ans: ({right + 1})<|im_end|>"
    for line in range(4):
        assert decode(row.encoded.ids[row.line_of == line]).startswith(f"({line + 1})")


@pytest.mark.parametrize("listed", [False, True])
def test_a_beginning_ends_where_candidates_begin(*, listed: bool) -> None:
    query = judgements.make_query(random.Random(5), of=_pool())
    row = _rows().beginning(query, listed=listed)
    text = tiny.processor().tokenizer.decode(row.encoded.ids)
    assert text.endswith("Candidates:" if listed else "Candidate:")
    assert row.query_end == len(row.encoded.ids) - 1


def test_what_is_embedded_ends_where_its_answer_would_begin() -> None:
    pair = pairs.batch(random.Random(2), 1)[0]
    decode = tiny.processor().tokenizer.decode
    for row in (_rows().fragment(pair), _rows().query(pair.query)):
        prompt = decode(row.encoded.ids[~row.encoded.answer])
        assert prompt.endswith("<|im_start|>assistant\n")
        assert row.encoded.answer.sum() == 1
    line = decode(_rows().fragment(pair).encoded.ids[_rows().fragment(pair).line_of == 0])
    assert line.startswith(pair.turns[0].speaker)
    assert "Summarize" not in line


def _rows() -> LamraRows:
    return LamraRows(tiny.encoder(), tiny.processor().tokenizer)


@cache
def _pool() -> judgements.Pool:
    return judgements.Pool(60, "tests")


def test_yes_and_no_are_single_tokens_that_differ() -> None:
    judge = Judge(*_parts())
    tokenizer = _parts()[1].tokenizer  # type: ignore[attr-defined]
    assert [tokenizer("Yes")["input_ids"], tokenizer("No")["input_ids"]] == [
        [judge.yes],
        [judge.no],
    ]
    assert judge.yes != judge.no


@torch.no_grad()
def test_a_shared_beginning_changes_no_judgement() -> None:
    judge = Judge(*_parts())
    rng = random.Random(5)
    for _ in range(3):
        judgement = judgements.make_judgement(rng, 3, pictures=0.5)
        query = lamra.query_content(judgement.query)
        candidates = [
            lamra.fragment_content(one.turns) for one in (judgement.right, *judgement.wrong)
        ]
        together = judge.p_yes(query, candidates)
        alone = torch.cat([judge.p_yes(query, [candidate]) for candidate in candidates])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_an_embedding_is_the_state_of_the_last_token_whatever_the_batch() -> None:
    bare, processor = _parts()
    reader = Reader(bare, processor)
    rng = random.Random(6)
    drawn = [judgements.make_judgement(rng, 1) for _ in range(3)]
    examples = [lamra.embedding(lamra.fragment_content(one.right.turns)) for one in drawn]
    together = reader.embed(examples)
    alone = torch.cat([reader.embed([example]) for example in examples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    text = processor.apply_chat_template(  # type: ignore[attr-defined]
        [
            {"role": "system", "content": examples[0].system},
            {"role": "user", "content": examples[0].user.replace("<image>", "")},
        ],
        add_generation_prompt=True,
        tokenize=False,
    )
    if not examples[0].pictures:
        ids = processor.tokenizer(text, return_tensors="pt").input_ids  # type: ignore[attr-defined]
        hidden = bare.get_base_model().model(input_ids=ids).last_hidden_state[0, -1]
        expected = torch.nn.functional.normalize(hidden, dim=-1)
        torch.testing.assert_close(together[0], expected, atol=1e-4, rtol=1e-3)
