"""The synthetic world: equal seeds give equal data, and gold follows from the facts."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.world import asking, facets, lexicon, noise, splits
from training.data.world.dialogues import MAX_TURNS, MIN_TURNS, make_dialogue
from training.data.world.facts import held_out, never_meet
from training.data.world.queries import make_queries
from training.data.world.shapes import SHAPES

seeds = st.integers(0, 10**9).map(str)


@pytest.mark.parametrize("split", splits.HELD_OUT)
def test_a_regenerated_split_has_the_committed_hash(split: splits.Split) -> None:
    assert len(splits.load(split)) == splits.DIALOGUES[split]


@given(seeds)
def test_equal_seeds_give_equal_dialogues_and_queries(seed: str) -> None:
    one, other = make_dialogue(seed, "train"), make_dialogue(seed, "train")
    assert one == other
    assert make_queries(one, random.Random(seed), "train", 3) == make_queries(
        other, random.Random(seed), "train", 3
    )


@given(seeds)
def test_stretches_cover_every_turn_once_and_neighbours_differ_in_topic(seed: str) -> None:
    dialogue = make_dialogue(seed, "test")
    assert MIN_TURNS <= len(dialogue.turns) <= MAX_TURNS
    covered = [turn for s in dialogue.stretches for turn in range(s.start, s.stop)]
    assert covered == list(range(len(dialogue.turns)))
    topics = [stretch.topic for stretch in dialogue.stretches]
    assert all(one != other for one, other in itertools.pairwise(topics))


@given(seeds)
def test_gold_is_every_topic_that_tells_what_is_asked_and_exactly_its_pictures(seed: str) -> None:
    dialogue = make_dialogue(seed, "test")
    told = [facets.told(dialogue, number) for number in range(len(dialogue.topics))]
    for query in make_queries(dialogue, random.Random(seed), "test", 4):
        assert query.facets
        answering = [number for number, one in enumerate(told) if one.satisfies(query.facets)]
        assert list(query.topics) == answering
        assert (query.answered_by == "nothing") == (not answering)
        turns = sorted(turn for topic in answering for turn in dialogue.turns_about(topic))
        assert list(query.utterance_ids) == turns
        shown = sum(dialogue.turns[turn].picture is not None for turn in turns)
        assert len(query.image_ids) == shown


def test_several_fragments_answer_some_queries_and_nothing_answers_others() -> None:
    queries = [query for sample in splits.load("validation") for query in sample.queries]
    several = sum(len(query.topics) > 1 for query in queries) / len(queries)
    empty = sum(not query.topics for query in queries) / len(queries)
    assert 0.02 < several < 0.15
    assert 0.1 < empty < 0.2


@given(seeds)
def test_a_thing_answered_by_its_picture_is_never_named(seed: str) -> None:
    dialogue = make_dialogue(seed, "test")
    words = lexicon.load()
    for query in make_queries(dialogue, random.Random(seed), "test", 4):
        for topic in (dialogue.topics[number] for number in query.topics):
            if not topic.pictured:
                continue
            assert topic.item
            name = words.items[topic.item].say(dialogue.language)
            turns = dialogue.turns_about(dialogue.topics.index(topic))
            for text in (dialogue.turns[turn].text for turn in turns):
                assert name not in (text.split() if dialogue.language == "en" else [text])


@settings(max_examples=30)
@given(st.integers(0, splits.DIALOGUES["train"] - 1))
def test_training_never_shows_a_held_out_combination(number: int) -> None:
    dialogue = splits.sample("train", number).dialogue
    for topic in dialogue.topics:
        if topic.item and topic.event:
            assert not held_out(topic.item, topic.event)
            assert not held_out(topic.item, topic.colour)
    for one, other in itertools.combinations(dialogue.topics, 2):
        assert not never_meet(one.family, other.family)


@settings(max_examples=30)
@given(st.integers(0, splits.DIALOGUES["train"] - 1))
def test_training_never_says_a_held_out_line_or_name(number: int) -> None:
    sample = splits.sample("train", number)
    phrases = lexicon.load().phrases[sample.dialogue.language]
    rare = {*phrases.fillers_held_out, *phrases.shows_held_out}
    assert not rare & {turn.text for turn in sample.dialogue.turns}
    assert not {topic.person for topic in sample.dialogue.topics} & set(phrases.people_held_out)
    for query in sample.queries:
        assert not query.novel


def test_held_out_data_says_what_training_never_says() -> None:
    words = lexicon.load()
    said = {turn.text for sample in splits.load("test") for turn in sample.dialogue.turns}
    every = [line for matter in words.matters.values() for line in matter.en.lines_held_out]
    assert any(line in said for line in every)
    people = {topic.person for s in splits.load("test") for topic in s.dialogue.topics}
    assert people & set(words.phrases["en"].people_held_out)


def test_the_shifted_split_is_longer_and_mistyped_with_speakers_of_its_own() -> None:
    shifted, test = splits.load("shifted"), splits.load("test")
    lengths = [[len(s.dialogue.turns) for s in samples] for samples in (shifted, test)]
    assert min(lengths[0]) >= splits.SHIFTED.turns[0] > sum(lengths[1]) / len(lengths[1])
    speakers = {turn.speaker for s in shifted for turn in s.dialogue.turns}
    assert not any(name.startswith("user") for name in speakers)


@given(st.text(alphabet="abcdefgh 12", max_size=60), st.integers(0, 10**6))
def test_typos_leave_digits_and_the_number_of_words(text: str, seed: int) -> None:
    mistyped = noise.with_typos(text, "en", 1.0, random.Random(seed))
    assert len(mistyped.split(" ")) == len(text.split(" "))
    assert [c for c in mistyped if c.isdecimal()] == [c for c in text if c.isdecimal()]


@given(seeds)
def test_queries_name_nothing_that_the_answering_lines_say(seed: str) -> None:
    """But the names that a query can only ask for as they are."""
    rng = random.Random(seed)
    words = lexicon.load()
    item = rng.choice(sorted(words.items))
    text, _ = asking.ask({"item": item}, "en", rng, "test")
    assert words.items[item].en not in text.split()


def test_every_item_can_be_drawn() -> None:
    assert set(SHAPES) == set(lexicon.load().items)
