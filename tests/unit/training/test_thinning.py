"""Thin dialogues: what is left out tells nothing, and the rest stands for it."""

import random
from collections.abc import Sequence

import pytest
import torch

from tests.unit.training import tiny
from training.data import judgements
from training.data.encode import IGNORED
from training.data.lamra_rows import LamraRows
from training.data.rows import NOTHING, Row
from training.data.world import splits
from training.layers import Layers
from training.matching import common, telling
from training.pointing import Learner, ThinBank, step
from training.recipe import BaseRecipe, Optimiser
from training.thinning import FAR, NO_PICTURE, Thin, known_answers, thin
from training.values import KINDS, of_the_world


def rows(numbers: Sequence[int]) -> list[Row]:
    made = tiny.rows()
    return [
        made.exercise("find", splits.sample("train", n, queries=1), random.Random(n), rough=False)
        for n in numbers
    ]


@pytest.fixture(scope="module")
def drawn() -> list[Row]:
    return rows([1, 5, 9])


@pytest.fixture(scope="module")
def thinned(drawn: list[Row]) -> Thin:
    return thin(tiny.reader(), drawn, tiny.pad_id(), random.Random(0))


def test_every_line_keeps_its_end_and_every_answer_its_tokens(
    drawn: list[Row], thinned: Thin
) -> None:
    for number, row in enumerate(drawn):
        assert (thinned.line_rows == number).sum() == len(row.begins)
        answer = row.encoded.ids[row.encoded.answer].tolist()
        targets = thinned.targets[number]
        assert targets[targets != IGNORED].tolist() == answer
    ends = thinned.weights[thinned.line_rows, thinned.line_places]
    assert (ends == 0).all()  # what is needed stands for itself


def test_weights_add_up_to_about_the_whole(drawn: list[Row], thinned: Thin) -> None:
    whole = sum(len(row.encoded.ids) for row in drawn)
    stood_for = thinned.weights[thinned.weights > FAR].exp().sum().item()
    kept = int((thinned.weights > FAR).sum())
    assert kept < whole
    assert 0.6 * whole < stood_for < 1.5 * whole


def test_no_token_sees_a_later_one_or_padding(thinned: Thin) -> None:
    mask = thinned.mask(torch.float32)[:, 0]
    size = mask.shape[-1]
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    assert (mask[:, later] == FAR).all()
    padding = thinned.weights == FAR
    assert (mask.transpose(1, 2)[padding] == FAR).all()
    shortest = int((~padding).sum(-1).argmin())
    assert (mask[shortest].diagonal()[~padding[shortest]] > FAR).all()


def test_a_line_is_known_to_answer_from_where_all_that_is_asked_was_told(
    drawn: list[Row],
) -> None:
    for row in drawn:
        known = known_answers(row)
        assert not (known & ~row.answers).any()
        for topic in set(row.topics[row.answers].tolist()):
            mine = known[row.topics == topic]
            assert mine.any()
            assert mine.tolist() == sorted(mine.tolist())  # once known, known to the end


def test_words_are_flagged_where_they_tell_what_is_asked(drawn: list[Row], thinned: Thin) -> None:
    for number, row in enumerate(drawn):
        mine = thinned.word_flags[thinned.word_rows == number]
        asked = [bool(numbers) for numbers in of_the_world().numbers(row.asked)]
        assert not mine[:, [not kind for kind in asked]].any()
        if row.answers.any():
            assert mine.any()


def test_common_facts_are_those_of_one_kind() -> None:
    values = of_the_world()
    tells = torch.stack([values.told([{"item": "cat", "family": "animal"}]), values.told([{}])]) > 0
    asks = torch.stack([values.told([{"family": "animal"}]), values.told([{"day": "monday"}])]) > 0
    found = common(tells, asks, values)
    assert found.shape == (len(KINDS), 2, 2)
    assert found.nonzero().tolist() == [[0, 0, 0]]


def test_every_told_fact_of_a_line_has_a_word_that_tells_it(drawn: list[Row]) -> None:
    reader = tiny.reader()
    from training.data.rows import gather

    block = gather(drawn, tiny.pad_id())
    with torch.no_grad():
        found = telling(reader, reader(block), block)
    for number, row in enumerate(drawn):
        for line, told in enumerate(row.told):
            words = found[number][block.line_of[number] == line]
            assert torch.equal(words.any(0), reader.values.told(told) > 0)
        assert not found[number][block.line_of[number] == NOTHING].any()


def test_a_bank_shows_short_batches_first_and_each_once_a_turn() -> None:
    recipe = BaseRecipe(
        kind="base", name="x", tokenizer="t", matching="m", bank_batches=4, batch_rows=2,
        short_steps=2, optimiser=Optimiser(learning_rate=0.001, warmup_steps=0, steps=8),
    )  # fmt: skip
    made = iter(rows(range(8)) * 4)
    bank = ThinBank(tiny.reader(), recipe, tiny.pad_id(), lambda _: next(made))
    sizes = [bank.batch(number).hidden.shape[1] for number in range(6)]
    assert max(sizes[:2]) <= max(sizes[2:])
    assert len({id(bank.batch(number)) for number in range(2, 6)}) == 4
    learner = Learner(tiny.model())
    result = step(learner, bank, recipe, 0)
    assert torch.isfinite(result.loss)
    taught = {"answer", "words", "lines", "known", "begins", "ids", "firsts", "shows", "carries"}
    assert set(result.shown) == taught


def test_lines_and_answers_are_taught_the_numbers_of_the_prompt(
    drawn: list[Row], thinned: Thin
) -> None:
    for number, row in enumerate(drawn):
        mine = thinned.line_rows == number
        first = int(row.ids[0])
        assert row.ids.tolist() == list(range(first, first + len(row.ids)))
        assert thinned.line_ids[mine].tolist() == row.ids.tolist()
        begun = thinned.line_firsts[mine]
        assert torch.equal(begun == thinned.line_ids[mine], torch.from_numpy(row.begins))
        assert torch.equal(begun, begun.cummax(0).values)
        shown = [n for n in row.shows.tolist() if n != NOTHING]
        assert shown == list(range(len(row.encoded.pictures)))

        at = thinned.named_rows == number
        answered = [line for line, is_one in enumerate(row.answers) if is_one]
        named = row.names[row.names != NOTHING].tolist()
        assert named == answered
        carried = [int(row.shows[line]) for line in named]
        expected = [NO_PICTURE if picture == NOTHING else picture for picture in carried]
        assert thinned.named_shows[at].tolist() == expected


def test_candidates_have_no_numbers() -> None:
    tokenizer = tiny.processor().tokenizer
    judgement = judgements.make_judgement(random.Random(0), 2)
    made = LamraRows(tiny.encoder(), tokenizer)
    both = [
        made.pointwise(judgement.query, judgement.right, meets=True),
        made.listwise(judgement, random.Random(0)),
    ]
    thinned = thin(tiny.reader(), both, tiny.pad_id(), random.Random(0))
    assert len(thinned.line_rows) == 1 + 3
    for numbers in (thinned.line_ids, thinned.line_firsts, thinned.line_shows):
        assert (numbers == IGNORED).all()
    assert not len(thinned.named_rows)


def test_lists_of_topics_name_no_pictures() -> None:
    sample = splits.sample("train", 1, queries=1)
    row = tiny.rows().exercise("topics", sample, random.Random(1), rough=False)
    thinned = thin(tiny.reader(), [row], tiny.pad_id(), random.Random(0))
    assert not len(thinned.named_rows)
    assert len(thinned.line_ids) == len(sample.dialogue.turns)


def test_in_bf16_the_layers_attend_alike_and_by_plain_products(
    thinned: Thin, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = Layers(tiny.model(), 0)
    before = layers.language.config._attn_implementation
    whole = layers.run(thinned.hidden.float(), thinned.positions, 0, 3, thinned.mask(torch.float32))

    def fused(*_: object, **__: object) -> None:
        raise AssertionError("the fused kernel ran")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", fused)
    rough_mask = thinned.mask(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        rough = layers.run(thinned.hidden.float(), thinned.positions, 0, 3, rough_mask)
    with pytest.raises(AssertionError, match="fused kernel"):
        layers.run(thinned.hidden.float(), thinned.positions, 0, 3, thinned.mask(torch.float32))
    with pytest.raises(RuntimeError):
        layers.run(thinned.hidden.float()[..., :5], thinned.positions, 0, 3, rough_mask)
    assert layers.language.config._attn_implementation == before
    kept = thinned.weights > FAR
    apart = (rough[-1].float() - whole[-1])[kept].norm() / whole[-1][kept].norm()
    assert apart < 0.02
