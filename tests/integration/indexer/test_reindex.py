"""A collection is built anew beside the one that is searched."""

from pathlib import Path

import pytest

from colloquy.servicekit.problems import Unavailable
from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    long_talk,
    running_indexer,
    serving,
    talk,
    wait_for,
)

pytestmark = pytest.mark.integration


def reindex(indexer: RunningIndexer) -> str:
    job: str = indexer.ask("/v1/reindex", collection=SHELF)["id"]
    return job


def staged(indexer: RunningIndexer) -> int:
    return len(indexer.retriever.records(TENANT, SHELF, staged=True))


def test_everything_is_embedded_again_with_the_model_there_is_now(
    indexer: RunningIndexer,
) -> None:
    indexer.index(long_talk("a", 20), talk("b", "x"))
    before = indexer.searched()
    indexer.retriever.models["clip"] = "clip@2"
    asked = len(indexer.generator.asked)

    job = indexer.ended(reindex(indexer))

    assert (job["kind"], job["state"], job["counts"]["indexed"]) == ("reindex", "done", 2)
    assert indexer.searched() == before
    assert len(indexer.generator.asked) == asked  # it is embedded again, not split
    assert indexer.retriever.held[TENANT, SHELF, False].spaces == {"clip": "clip@2"}
    assert (TENANT, SHELF, True) not in indexer.retriever.held

    def is_current() -> bool:
        space = indexer.ask("/v1/collections/get", collection=SHELF)["spaces"][0]
        assert space["revision"] == "clip@2"
        return bool(space["current"])

    wait_for(is_current)  # which models there are is asked now and then


def test_what_is_searched_stays_until_the_copy_is_complete(indexer: RunningIndexer) -> None:
    indexer.index(*(talk(f"d{n}", "x") for n in range(200)))
    indexer.retriever.delay_s = 0.1

    job = reindex(indexer)
    wait_for(lambda: 0 < staged(indexer) < 200)
    assert len(indexer.searched()) == 200
    indexer.retriever.delay_s = 0.0

    assert indexer.ended(job)["state"] == "done"
    assert len(indexer.searched()) == 200


def test_writes_meanwhile_reach_both(tmp_path: Path) -> None:
    with running_indexer(tmp_path, upsert_fragments=1) as indexer:
        indexer.shelf()
        indexer.index(*(talk(f"d{n}", "x") for n in range(40)))
        indexer.retriever.is_away_for = lambda body: (
            body.staged and body.fragments[0].dialogue_id == "d38"
        )
        job = reindex(indexer)
        wait_for(lambda: staged(indexer) == 39)

        indexer.index(talk("new", "x"), talk("d5", "changed"), long_talk("d39", 20))
        indexer.ask("/v1/dialogues/delete", collection=SHELF, dialogue_id="d7")
        assert indexer.ask("/v1/jobs/get", job=job)["state"] == "running"
        live = {(r.dialogue_id, r.number): r.utterances for r in indexer.searched()}
        indexer.retriever.is_away_for = lambda body: False
        indexer.ended(job)

        assert {(r.dialogue_id, r.number): r.utterances for r in indexer.searched()} == live
        assert ("new", 0) in live
        assert ("d7", 0) not in live
        assert live["d5", 0][0].content == "changed"


def test_writes_while_the_old_model_is_gone_are_there_after_it(indexer: RunningIndexer) -> None:
    indexer.index(*(talk(f"d{n}", "x") for n in range(20)))
    indexer.retriever.models["clip"] = "clip@2"
    sent = indexer.send([talk("new", "x"), talk("d5", "changed")])
    waits = 'indexer_items_total{action="put",outcome="waiting"}'
    wait_for(lambda: waits in indexer.http.get("/metrics").text)
    assert indexer.ask("/v1/jobs/get", job=sent)["counts"]["failed"] == 0

    indexer.ended(reindex(indexer), within_s=40)
    assert indexer.ended(sent)["counts"]["indexed"] == 2

    found = {r.dialogue_id: r.utterances[0].content for r in indexer.searched()}
    assert len(found) == 21
    assert found["d5"] == "changed"


def test_asking_again_gives_the_job_that_is_under_way(indexer: RunningIndexer) -> None:
    indexer.index(*(talk(f"d{n}", "x") for n in range(100)))
    indexer.retriever.delay_s = 0.2

    job = reindex(indexer)

    assert reindex(indexer) == job
    indexer.retriever.delay_s = 0.0
    indexer.ended(job)
    assert reindex(indexer) != job


def test_a_cancelled_reindex_leaves_what_was_there(indexer: RunningIndexer) -> None:
    indexer.index(*(talk(f"d{n}", "x") for n in range(200)))
    indexer.retriever.delay_s = 0.2
    job = reindex(indexer)
    wait_for(lambda: staged(indexer) > 0)

    indexer.ask("/v1/jobs/cancel", job=job)
    indexer.retriever.delay_s = 0.0

    assert indexer.ended(job)["state"] == "cancelled"
    wait_for(lambda: (TENANT, SHELF, True) not in indexer.retriever.held)
    assert len(indexer.searched()) == 200
    indexer.index(talk("after", "x"))
    assert len(indexer.searched()) == 201


def test_a_copy_that_misses_something_is_not_searched(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"), talk("b", "bad"))
    indexer.retriever.refuses = lambda r: "no" if r.utterances[0].content == "bad" else None

    job = indexer.ended(reindex(indexer))

    assert (job["state"], job["counts"]["failed"]) == ("failed", 1)
    assert job["errors"][0]["dialogue_id"] == "b"
    assert len(indexer.searched()) == 2


def test_a_reindex_goes_on_in_the_next_process(indexer: RunningIndexer, tmp_path: Path) -> None:
    indexer.index(*(talk(f"d{n}", "x") for n in range(100)))
    indexer.retriever.failure = Unavailable("gone")
    job = reindex(indexer)
    with serving(indexer.settings, indexer.retriever, indexer.generator) as other:
        indexer.retriever.failure = None
        assert other.ended(job)["state"] == "done"
        assert len(other.searched()) == 100
