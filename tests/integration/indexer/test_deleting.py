"""What is deleted, dropped or past its retention is gone."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from colloquy.media.failures import BlobMissing
from colloquy.servicekit.problems import Unavailable
from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    running_indexer,
    shows,
    talk,
    wait_for,
)

pytestmark = pytest.mark.integration


def delete(indexer: RunningIndexer, identity: str, **headers: str) -> Any:
    body = {"tenant": TENANT, "collection": SHELF, "dialogue_id": identity}
    return indexer.http.post("/v1/dialogues/delete", json=body, headers=headers)


def test_a_deleted_dialogue_is_gone_when_it_is_answered(indexer: RunningIndexer) -> None:
    mine, shared = indexer.picture(1), indexer.picture(2)
    indexer.index(
        {"id": "a", "utterances": [shows("Ana", "x", mine, shared)]},
        {"id": "b", "utterances": [shows("Ana", "y", shared)]},
    )

    assert delete(indexer, "a").status_code == 200

    assert indexer.searched("a") == []
    assert delete(indexer, "a").status_code == 404
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, mine)
    assert indexer.blobs.get(TENANT, shared)


def test_a_deletion_that_cannot_be_waited_for_is_done_all_the_same(
    indexer: RunningIndexer,
) -> None:
    indexer.index(talk("a", "x"))
    indexer.retriever.failure = Unavailable("gone")

    reply = delete(indexer, "a", **{"x-colloquy-deadline-ms": "300"})
    assert reply.status_code == 504
    assert indexer.post("/v1/dialogues/get", collection=SHELF, dialogue_id="a").status_code == 404

    indexer.retriever.failure = None
    wait_for(lambda: indexer.searched("a") == [])
    wait_for(lambda: indexer.http.get("/v1/summary").json()["dialogues"] == 0)


def test_a_dropped_collection_leaves_nothing(indexer: RunningIndexer) -> None:
    picture = indexer.picture()
    job = indexer.send([{"id": "a", "utterances": [shows("Ana", "x", picture)]}], key="k")
    indexer.ended(job)

    indexer.ask("/v1/collections/drop", collection=SHELF)

    assert indexer.retriever.held == {}
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, picture)
    assert indexer.post("/v1/collections/get", collection=SHELF).status_code == 404
    assert indexer.post("/v1/jobs/get", job=job).status_code == 404
    assert indexer.post("/v1/collections/drop", collection=SHELF).status_code == 404


def test_a_collection_that_is_made_again_is_empty(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"), key="k")
    indexer.ask("/v1/collections/drop", collection=SHELF)
    indexer.shelf()

    assert indexer.shelf()["dialogues"] == 0
    assert indexer.index(talk("a", "x"), key="k")["counts"]["unchanged"] == 0
    assert len(indexer.searched()) == 1


def test_a_drop_that_was_broken_off_goes_on(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"))
    indexer.retriever.failure = Unavailable("gone")
    assert indexer.post("/v1/collections/drop", collection=SHELF).status_code == 503
    assert indexer.post("/v1/collections/get", collection=SHELF).status_code == 404

    indexer.retriever.failure = None

    wait_for(lambda: indexer.retriever.held == {})
    wait_for(lambda: indexer.post("/v1/collections/put", collection=SHELF, spec={}).is_success)


def test_what_was_not_changed_for_its_retention_goes(tmp_path: Path) -> None:
    with running_indexer(tmp_path) as indexer:
        indexer.shelf(retention_days=2)
        picture = indexer.picture()
        indexer.index({"id": "old", "utterances": [shows("Ana", "x", picture)]}, talk("new", "y"))
        with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
            db.execute("UPDATE dialogues SET updated = updated - 3 * 86400 WHERE id = 'old'")
        db.close()

        wait_for(lambda: [r.dialogue_id for r in indexer.searched()] == ["new"])
        wait_for(lambda: indexer.http.get("/v1/summary").json()["dialogues"] == 1)
        wait_for(lambda: indexer.blobs.sweep(10**9) == 0 and not has(indexer, picture))


def has(indexer: RunningIndexer, picture: str) -> bool:
    try:
        indexer.blobs.get(TENANT, picture)
    except BlobMissing:
        return False
    return True
