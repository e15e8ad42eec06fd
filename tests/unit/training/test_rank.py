"""Candidates that share a prompt's beginning are judged as they are alone."""

import random
from functools import cache
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training.data import judgements, lamra
from training.data.world.facets import FACETS
from training.embed import Reader
from training.judge import Judge
from training.taught import CODE, KINDS, READS, TaughtJudge, Values

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


@cache
def _values() -> Values:
    return Values(judgements.pool().told())


def test_values_are_numbered_by_kind_and_read_back() -> None:
    values = _values()
    assert {facet for kind in KINDS for facet in kind} == set(FACETS)
    rng = random.Random(3)
    for _ in range(20):
        asked = judgements.make_query(rng).facets
        found = {values.all[int(n)] for n in values.told([asked]).nonzero()[:, 0]}
        assert found == set(asked.items())
        read = {
            facet: values.all[own.start + place - 1][1]
            for place, (facet, own) in zip(
                values.asked(asked), values.of_facet.items(), strict=True
            )
            if place
        }
        assert read == asked


@torch.no_grad()
def test_wiring_makes_heads_compare_what_reading_learnt_to_compare() -> None:
    base = Qwen2VLForConditionalGeneration.from_pretrained(BASE, dtype=torch.float32)
    config = LoraConfig(r=CODE * len(KINDS), target_modules=["q_proj", "k_proj"])
    judge = TaughtJudge(get_peft_model(base, config), _parts()[1], _values()).eval()
    rng = random.Random(4)
    query = lamra.query_content(judgements.make_query(rng))
    forest = judge.forest([[lamra.pointwise(query, ["the kite"], "No")]])
    states = judge.states(forest)
    for _ in range(READS):
        hidden = next(states)
    reading = judge.reading(forest, hidden)
    expected = reading.seeks @ reading.summary[:, :, :, None]
    attention = judge.base.model.language_model.layers[READS].self_attn
    language = judge.base.model.language_model
    level = language.layers[READS].input_layernorm(hidden)
    judge.wire()
    width = attention.head_dim
    own = [*range(width // 2 - CODE // 2, width // 2), *range(width - CODE // 2, width)]
    summary = int(judge.summaries(forest)[0])
    for head in range(len(KINDS)):
        looks, seen = (
            (linear(level) - linear.base_layer.bias).unflatten(-1, (-1, width))[0, :, head][:, own]
            for linear in (attention.q_proj, attention.k_proj)
        )
        near = looks @ seen[summary] / width**0.5
        torch.testing.assert_close(near, expected[head, 0, :, 0], atol=1e-3, rtol=1e-3)


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
