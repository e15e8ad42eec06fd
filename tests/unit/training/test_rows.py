"""Rows: every token of a dialogue has its line, every line what it tells."""

import random

import numpy as np
import pytest
import torch

from tests.unit.training import tiny
from training.data import prompts, roughened
from training.data.rows import NOTHING, Row, gather
from training.data.world import facets, splits
from training.values import KINDS, of_the_world


def find(number: int) -> Row:
    sample = splits.sample("train", number, queries=1)
    return tiny.rows().exercise("find", sample, random.Random(number), rough=False)


@pytest.mark.parametrize("number", [1, 5, 9])
def test_lines_follow_each_other_and_hold_their_words(number: int) -> None:
    row = find(number)
    dialogue = splits.sample("train", number).dialogue
    assert len(row.told) == len(row.begins) == len(dialogue.turns)
    inside = row.line_of[row.line_of != NOTHING]
    assert (np.diff(inside) >= 0).all()
    assert set(inside.tolist()) == set(range(len(dialogue.turns)))
    for line, turn in enumerate(dialogue.turns):
        ids = row.encoded.ids[row.line_of == line]
        text = tiny.processor().tokenizer.decode(ids)
        assert turn.text in text
        assert text.startswith("<|utt_id_start|>")


def test_ids_are_marked_and_nothing_else() -> None:
    row = find(1)
    marked = tiny.processor().tokenizer.decode(row.encoded.ids[row.in_id])
    turns = len(row.told)
    pictures = len(row.encoded.pictures)
    assert marked.count("<|utt") == marked.count("<|img") == 0
    assert len(marked.replace(" ", "")) >= turns + pictures
    assert marked.replace(" ", "").isdecimal()


def test_the_query_ends_where_its_tag_stands() -> None:
    row = find(5)
    tag = tiny.processor().tokenizer.convert_tokens_to_ids("<|query_end|>")
    assert row.encoded.ids[row.query_end] == tag
    assert row.asked


def test_what_lines_tell_together_is_what_their_topic_tells() -> None:
    dialogue = splits.sample("train", 5).dialogue
    row = find(5)
    for topic in range(len(dialogue.topics)):
        lines = [row.told[turn][0] for turn in dialogue.turns_about(topic)]
        together = {facet: value for line in lines for facet, value in line.items()}
        assert together == facets.told(dialogue, topic).facets


def test_gathered_rows_are_padded_on_the_right() -> None:
    rows = [find(1), find(5)]
    block = gather(rows, tiny.pad_id())
    for number, row in enumerate(rows):
        size = len(row.encoded.ids)
        assert block.ids[number, :size].tolist() == row.encoded.ids.tolist()
        assert (block.line_of[number, size:] == NOTHING).all()


def test_a_query_alone_asks_for_what_a_dialogue_tells() -> None:
    values = of_the_world()
    for seed in range(20):
        row = tiny.rows().query("train", random.Random(seed))
        assert row.asked
        assert len(row.encoded.ids) == row.query_end + 1
        assert values.known(row.asked) or "count" in row.asked


def test_a_picture_alone_tells_how_it_looks() -> None:
    row = tiny.rows().picture(random.Random(4))
    (spec,) = row.encoded.pictures
    told = row.told[0][0]
    assert told["item"] == spec.item
    assert told["colour"] == spec.colour
    assert "event" not in told


def test_roughened_dialogues_keep_their_turns_and_pictures() -> None:
    sample = splits.sample("train", 3)
    rough = roughened.sample(sample, random.Random(1))
    pairs = zip(sample.dialogue.turns, rough.dialogue.turns, strict=True)
    changed = [one.text != other.text for one, other in pairs]
    assert 0 < sum(changed) < len(changed)
    assert rough.dialogue.pictures == sample.dialogue.pictures
    leads = [stretch.start for stretch in sample.dialogue.stretches]
    for lead in leads:  # may get a word, does not vanish
        words = sample.dialogue.turns[lead].text.split()
        assert all(word in rough.dialogue.turns[lead].text for word in words)


def test_values_are_numbered_by_kind_and_read_back() -> None:
    values = of_the_world()
    assert [len(range(*own.indices(len(values.all)))) > 0 for own in values.of_kind] == [
        True
    ] * len(KINDS)
    asked: facets.Facets = {"item": "cat", "day": "monday"}
    assert {values.all[number] for number in values.known(asked)} == set(asked.items())
    told = values.told([asked, {"person": "nobody of this name"}])
    assert torch.equal(told.nonzero()[:, 0], torch.tensor(sorted(values.known(asked))))
    chosen = values.asked(asked)
    for place, (facet, own) in enumerate(values.of_facet.items()):
        value = values.all[own.start + chosen[place] - 1] if chosen[place] else None
        assert value == ((facet, asked[facet]) if facet in asked else None)


def test_exercises_about_pictures_and_talk_have_answers() -> None:
    for number in range(12):
        sample = splits.sample("train", number)
        rng = random.Random(number)
        question = prompts.exercise("question", sample, rng)
        assert question.answer
        assert len(question.pictures) == question.user.count("<image>") == 1
        going_on = prompts.exercise("continue", sample, rng)
        said = [turn.text for turn in sample.dialogue.turns]
        assert going_on.answer in said


def test_idle_chinese_words_are_of_characters_that_the_tokenizer_lacks_too() -> None:
    rng = random.Random(2)
    said = [roughened.text_of("猫", "zh", rng, 1.0) for _ in range(200)]
    assert all("猫" in text for text in said)
    seen = {character for text in said for character in text}
    known = {character for text in tiny.processor().tokenizer.get_vocab() for character in text}
    assert len(seen) > 300
    assert len(seen - known) > 100
