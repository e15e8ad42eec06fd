"""Candidates that share a prompt's beginning are judged as they are alone."""

import random
from functools import cache
from pathlib import Path

import torch
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training.data import judgements, lamra
from training.embed import Reader
from training.rank import Judge

BASE = Path("starter/base/1")


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
        candidates = [lamra.fragment_content(t) for t in (judgement.right, *judgement.wrong)]
        together = judge.p_yes(query, candidates)
        alone = torch.cat([judge.p_yes(query, [candidate]) for candidate in candidates])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_an_embedding_is_the_state_of_the_last_token_whatever_the_batch() -> None:
    bare, processor = _parts()
    reader = Reader(bare, processor)
    rng = random.Random(6)
    drawn = [judgements.make_judgement(rng, 1) for _ in range(3)]
    examples = [lamra.embedding(lamra.fragment_content(one.right)) for one in drawn]
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
