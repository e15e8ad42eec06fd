from typing import Any

import pytest

from colloquy.cli.demo import choose
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
