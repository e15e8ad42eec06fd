"""Services that are away, items that are wrong, and how long anything is tried."""

from pathlib import Path
from typing import Any

import pytest

from colloquy.contracts.retrieval import FragmentRecord, UpsertFragments
from colloquy.servicekit.problems import Unavailable, UpstreamFailed, UpstreamMalformed
from tests.integration.indexer.stack import (
    SHELF,
    RunningIndexer,
    long_talk,
    running_indexer,
    shows,
    talk,
    texts,
    wait_for,
)

pytestmark = pytest.mark.integration


def test_an_item_waits_while_the_generator_is_away(indexer: RunningIndexer) -> None:
    indexer.generator.failure = Unavailable("gone")
    job = indexer.send([long_talk("a", 20), talk("b", "short")])
    wait_for(lambda: len(indexer.generator.asked) >= 5)
    wait_for(lambda: len(indexer.searched("b")) == 1)
    assert indexer.ask("/v1/jobs/get", job=job)["counts"]["failed"] == 0

    indexer.generator.failure = None

    counts = indexer.ended(job)["counts"]
    assert (counts["indexed"], counts["degraded"], counts["failed"]) == (2, 0, 0)
    assert len(indexer.searched("a")) == 5


def test_an_item_waits_while_the_retriever_is_away(indexer: RunningIndexer) -> None:
    indexer.retriever.failure = Unavailable("gone")
    job = indexer.send([talk("a", "x")])
    waits = 'indexer_items_total{action="put",outcome="waiting"} 5.0'
    wait_for(lambda: waits in indexer.http.get("/metrics").text)
    assert indexer.ask("/v1/jobs/get", job=job)["state"] == "running"

    indexer.retriever.failure = None

    assert indexer.ended(job)["counts"]["indexed"] == 1


@pytest.mark.parametrize("failure", [UpstreamMalformed("no split"), UpstreamFailed("broken")])
def test_what_no_model_can_split_is_cut_into_windows_openly(
    indexer: RunningIndexer, failure: UpstreamFailed
) -> None:
    indexer.generator.failure = failure

    counts = indexer.index(long_talk("a", 25))["counts"]

    assert (counts["indexed"], counts["degraded"]) == (1, 1)
    assert [len(record.utterances) for record in indexer.searched()] == [8, 8, 9]


def test_a_split_that_is_no_partition_is_not_believed(indexer: RunningIndexer) -> None:
    indexer.generator.split_answer = [[0, 1], [1, 2]]

    assert indexer.index(long_talk("a", 25))["counts"]["degraded"] == 1
    ids = [turn.id for record in indexer.searched() for turn in record.utterances]
    assert ids == list(range(25))


def refuses(word: str) -> Any:
    def refuse(record: FragmentRecord) -> str | None:
        said = any(word in str(turn.content) for turn in record.utterances)
        return "its picture cannot be read" if said else None

    return refuse


def test_a_fragment_that_cannot_be_embedded_is_the_items_error(indexer: RunningIndexer) -> None:
    indexer.retriever.refuses = refuses("turn 9")

    job = indexer.index(talk("a", "fine"), long_talk("b", 20))

    assert (job["state"], job["counts"]["indexed"], job["counts"]["failed"]) == ("done", 1, 1)
    assert job["errors"] == [
        {
            "item": 1,
            "line": None,
            "dialogue_id": "b",
            "at": "utterances/8",
            "why": "its picture cannot be read",
        }
    ]
    assert indexer.searched("b") == []
    assert indexer.post("/v1/dialogues/get", collection=SHELF, dialogue_id="b").status_code == 404


def test_a_change_that_fails_leaves_what_was_there(indexer: RunningIndexer) -> None:
    indexer.index(long_talk("a", 20, "old"))
    before = texts(indexer.searched("a"))
    indexer.retriever.refuses = refuses("new 17")

    assert indexer.index(long_talk("a", 20, "new"))["state"] == "failed"

    assert texts(indexer.searched("a")) == before
    assert indexer.read("a")["dialogue"]["utterances"][0]["content"] == "old 0"


def test_an_item_that_fails_again_and_again_is_given_up(indexer: RunningIndexer) -> None:
    indexer.retriever.failure = UpstreamFailed("the model failed")
    job = indexer.send([talk("a", "x")])
    given_up = 'indexer_items_total{action="put",outcome="failed"} 1.0'
    wait_for(lambda: given_up in indexer.http.get("/metrics").text)
    indexer.retriever.failure = None

    found = indexer.ended(job)

    assert found["state"] == "failed"
    assert found["errors"][0]["why"] == "the model failed"
    assert indexer.searched() == []


def test_what_the_retriever_has_lost_is_made_again(indexer: RunningIndexer) -> None:
    indexer.retriever.held.clear()

    assert indexer.index(talk("a", "x"))["state"] == "done"
    assert len(indexer.searched()) == 1


def test_a_picture_that_is_not_there_is_the_items_error(indexer: RunningIndexer) -> None:
    lost = "blob:" + "0" * 64
    turns = [{"speaker": "Ana", "content": "x"}, shows("Ben", "y", lost)]

    job = indexer.index({"id": "a", "utterances": turns}, talk("b", "fine"))

    assert job["counts"]["indexed"] == 1
    assert [(e["item"], e["dialogue_id"], e["at"]) for e in job["errors"]] == [
        (0, "a", "utterances/1/content")
    ]


def test_a_call_carries_little_where_fragments_are_long(tmp_path: Path) -> None:
    long = ["word " * 18_000, "z"]
    with running_indexer(tmp_path) as indexer:
        indexer.shelf()
        indexer.index(*(talk(f"long-{n}", *long) for n in range(12)))
        in_long_calls = max(indexer.retriever.calls)
        indexer.retriever.delay_s = 0.2  # what comes meanwhile travels together
        indexer.index(*(talk(f"short-{n}", "x", "y") for n in range(64)))
        in_short_calls = max(indexer.retriever.calls)
    assert in_long_calls <= 2
    assert in_short_calls > 2


def test_a_fragment_too_long_for_any_call_fails_alone_and_the_others_are_indexed(
    tmp_path: Path,
) -> None:
    endless = talk("endless", *["word " * 20_000] * 3)
    with running_indexer(tmp_path, call_timeout_s=0.5) as indexer:
        indexer.shelf()
        indexer.retriever.hangs_on = lambda body: any(
            record.dialogue_id == "endless" for record in body.fragments
        )
        job = indexer.index(endless, *(talk(f"d{n}", "x") for n in range(5)))
    assert (job["counts"]["indexed"], job["counts"]["failed"]) == (5, 1)
    assert job["errors"][0]["dialogue_id"] == "endless"
    assert "too long" in job["errors"][0]["why"]


def test_how_long_a_fragment_is_tried_is_bounded_and_its_place_is_named(tmp_path: Path) -> None:
    told = long_talk("endless", 20)
    for turn in told["utterances"][10:13]:
        turn["content"] = "word " * 20_000
    tried = []

    def hangs(body: UpsertFragments) -> bool:
        heavy = any(record.number == 1 for record in body.fragments)
        tried.extend([1] * heavy)
        return heavy

    limits = {"call_timeout_s": 0.6, "max_tried_s": 1.0, "max_failures": 1_000}
    with running_indexer(tmp_path, **limits) as indexer:
        indexer.shelf()
        indexer.generator.split_answer = [list(range(10)), list(range(10, 20))]
        indexer.retriever.hangs_on = hangs
        job = indexer.index(told)

        assert job["state"] == "failed"
        assert [(error["dialogue_id"], error["at"]) for error in job["errors"]] == [
            ("endless", "utterances/10")
        ]
        assert "too long" in job["errors"][0]["why"]
        assert 1 <= len(tried) <= 2  # one where the machine was too busy to end it sooner
        wait_for(lambda: indexer.searched() == [])


def test_how_long_a_dialogue_is_split_is_bounded(tmp_path: Path) -> None:
    limits = {"call_timeout_s": 0.4, "max_tried_s": 0.6, "max_failures": 1_000}
    with running_indexer(tmp_path, **limits) as indexer:
        indexer.shelf()
        indexer.generator.delay_s = 2.0
        job = indexer.index(long_talk("slow", 20))

    assert (job["state"], job["counts"]["degraded"]) == ("done", 1)
