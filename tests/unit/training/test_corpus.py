"""The corpus: gold is every fragment that tells what is asked, and files hold the same."""

import json
from pathlib import Path

import pytest

from colloquy.contracts.content import Dialogue
from training.data.world import corpus, facets
from training.data.world.corpus import CorpusSplit


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_regenerated_corpus_has_the_committed_hash(split: CorpusSplit) -> None:
    found = corpus.load_corpus(split)
    assert (len(found.dialogues), len(found.queries)) == corpus.SIZES[split]


def test_gold_is_every_fragment_that_tells_all_that_is_asked() -> None:
    made = corpus.make_corpus("validation", 60, 20)
    told = [facets.told(made.dialogues[f.dialogue], f.topic) for f in made.fragments]
    for query in made.queries:
        found = [n for n, one in enumerate(told) if facets.satisfies(one.facets, query.facets)]
        assert list(query.gold) == found
        assert 1 <= len(found) <= corpus.MOST_GOLD


def test_colours_and_unnamed_things_are_told_by_pictures_alone() -> None:
    made = corpus.make_corpus("validation", 60, 0)
    for fragment in made.fragments:
        told = facets.told(made.dialogues[fragment.dialogue], fragment.topic)
        assert ("colour" in told.facets) == bool(fragment.image_ids)
        if made.dialogues[fragment.dialogue].topics[fragment.topic].pictured:
            assert "item" in told.seen or "item" not in told.facets


def test_files_hold_the_public_form_and_gold_that_exists(tmp_path: Path) -> None:
    made = corpus.make_corpus("test", 5, 4)
    corpus.write_files(made, "test", tmp_path)
    lines = (tmp_path / "dialogues.ndjson").read_text(encoding="utf-8").splitlines()
    dialogues = {one.id: one for one in map(Dialogue.model_validate_json, lines)}
    queries = (tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert (len(dialogues), len(queries)) == (5, 4)
    for line in queries:
        for gold in json.loads(line)["gold"]:
            dialogue = dialogues[gold["dialogue_id"]]
            assert all(0 <= turn < len(dialogue.utterances) for turn in gold["utterance_ids"])
            assert all(0 <= image < len(dialogue.images) for image in gold["image_ids"])


def test_a_larger_corpus_begins_with_the_smaller_one() -> None:
    small, large = corpus.make_corpus("test", 3, 0), corpus.make_corpus("test", 6, 0)
    assert large.dialogues[:3] == small.dialogues
