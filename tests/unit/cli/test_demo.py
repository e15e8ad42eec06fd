from pathlib import Path
from typing import Any

import pytest

from colloquy.cli.demo import choose
from colloquy.cli.demo_corpus import answers, read_queries
from colloquy.cli.failure import CommandFailed


def sample(title: str, *answered_by: str) -> dict[str, Any]:
    queries = [{"query": f"{title} {n}", "answered_by": by} for n, by in enumerate(answered_by)]
    return {"title": title, "dialogue": {"utterances": []}, "queries": queries}


def test_three_questions_of_three_dialogues_the_picture_last() -> None:
    samples = [sample("a", "text", "text"), sample("b", "text"), sample("c", "text", "picture")]
    chosen = choose(samples)
    assert [question.title for question in chosen] == ["a", "b", "c"]
    assert [question.by_picture for question in chosen] == [False, False, True]


def test_one_dialogue_may_give_all_three() -> None:
    assert len(choose([sample("a", "text", "text", "picture")])) == 3


@pytest.mark.parametrize("samples", [[], [sample("a", "text", "text", "text")]])
def test_samples_without_a_picture_are_refused(samples: list[dict[str, Any]]) -> None:
    with pytest.raises(CommandFailed):
        choose(samples)


GOLD = [{"dialogue_id": "d-1", "utterance_ids": [4, 5, 6, 7], "image_ids": []}]


def fragment(dialogue: str, *ids: int) -> dict[str, Any]:
    return {"dialogue_id": dialogue, "utterance_ids": list(ids)}


def test_a_fragment_answers_with_half_of_what_was_asked_for() -> None:
    assert answers(fragment("d-1", 6, 7, 8), GOLD)
    assert not answers(fragment("d-1", 7, 8), GOLD)
    assert not answers(fragment("d-2", 4, 5, 6, 7), GOLD)


def test_sample_queries_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="cannot be read"):
        read_queries(tmp_path / "none.jsonl")
    (tmp_path / "few.jsonl").write_text('{"query": "one"}\n')
    with pytest.raises(CommandFailed, match="too few"):
        read_queries(tmp_path / "few.jsonl")
