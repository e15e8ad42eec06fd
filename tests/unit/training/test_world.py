"""The synthetic world: equal seeds give equal data, and gold follows from the facts."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.world import lexicon, splits
from training.data.world.dialogues import MAX_TURNS, MIN_TURNS, make_dialogue
from training.data.world.facts import held_out
from training.data.world.pictures import PictureSpec, draw
from training.data.world.queries import make_queries
from training.data.world.shapes import SHAPES

seeds = st.integers(0, 10**9).map(str)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_regenerated_split_has_the_committed_hash(split: splits.Split) -> None:
    assert len(splits.load(split)) == splits.DIALOGUES[split]


@given(seeds)
def test_equal_seeds_give_equal_dialogues_and_queries(seed: str) -> None:
    one, other = make_dialogue(seed, "train"), make_dialogue(seed, "train")
    assert one == other
    assert make_queries(one, random.Random(seed), "train", 3) == make_queries(
        other, random.Random(seed), "train", 3
    )


def test_equal_specs_give_equal_pixels_and_other_seeds_do_not() -> None:
    spec = PictureSpec("cat", "blue", 7)
    assert draw(spec).tobytes() == draw(spec).tobytes()
    assert draw(spec).tobytes() != draw(PictureSpec("cat", "blue", 8)).tobytes()


@given(seeds)
def test_stretches_cover_every_turn_once_and_neighbours_differ_in_topic(seed: str) -> None:
    dialogue = make_dialogue(seed, "test")
    assert MIN_TURNS <= len(dialogue.turns) <= MAX_TURNS
    covered = [turn for s in dialogue.stretches for turn in range(s.start, s.stop)]
    assert covered == list(range(len(dialogue.turns)))
    topics = [stretch.topic for stretch in dialogue.stretches]
    assert all(one != other for one, other in itertools.pairwise(topics))


@given(seeds)
def test_gold_is_all_turns_of_a_topic_and_exactly_their_pictures(seed: str) -> None:
    dialogue = make_dialogue(seed, "test")
    for query in make_queries(dialogue, random.Random(seed), "test", 4):
        if query.topic is None:
            assert (query.utterance_ids, query.image_ids) == ((), ())
            continue
        assert list(query.utterance_ids) == dialogue.turns_about(query.topic)
        shown = sum(dialogue.turns[turn].picture is not None for turn in query.utterance_ids)
        assert len(query.image_ids) == shown


@given(seeds)
def test_a_thing_answered_by_its_picture_is_never_named(seed: str) -> None:
    dialogue = make_dialogue(seed, "test")
    words = lexicon.load()
    for query in make_queries(dialogue, random.Random(seed), "test", 4):
        if query.answered_by != "picture" or query.topic is None:
            continue
        item = dialogue.topics[query.topic].item
        assert item
        name = words.items[item].say(dialogue.language)
        for turn in query.utterance_ids:
            text = dialogue.turns[turn].text
            assert name not in (text.split() if dialogue.language == "en" else [text])


@settings(max_examples=30)
@given(st.integers(0, splits.DIALOGUES["train"] - 1))
def test_training_never_shows_a_held_out_combination(number: int) -> None:
    for topic in splits.sample("train", number).dialogue.topics:
        if topic.item and topic.event:
            assert not held_out(topic.item, topic.event)
            assert not held_out(topic.item, topic.colour)


def test_every_item_can_be_drawn() -> None:
    assert set(SHAPES) == set(lexicon.load().items)
