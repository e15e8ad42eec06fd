"""A person is erased: from what is searched, the ledger's very bytes, the pictures."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from colloquy.media.failures import BlobMissing
from colloquy.servicekit.problems import Unavailable
from services.indexer.ledger.database import Database, ledger_url
from services.indexer.ledger.schema import metadata
from tests.integration.indexer.postgres import Postgres
from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    long_talk,
    running_indexer,
    shows,
    talk,
    wait_for,
)

pytestmark = pytest.mark.integration
SECRET = "xylophone-in-the-attic"


def erase(indexer: RunningIndexer, **what: Any) -> dict[str, Any]:
    return indexer.ended(indexer.ask("/v1/erase", what=what)["id"])


def traces(folder: Path, *words: str) -> set[str]:
    """Which of `words` are in any file of the ledger."""
    found = set()
    for path in folder.glob("ledger.sqlite*"):
        data = path.read_bytes()
        found |= {word for word in words if word.encode() in data}
    return found


def test_a_speakers_turns_lose_everything_that_was_theirs(indexer: RunningIndexer) -> None:
    theirs, others = indexer.picture(1), indexer.picture(2)
    turns = [
        {"speaker": "Ben", "content": "hello Ana"},
        shows("Ana", SECRET, theirs) | {"ref": "msg-7", "time": "2026-03-01T10:00:00Z"},
        shows("Ben", "mine", others),
    ]
    indexer.index({"id": "a", "utterances": turns}, talk("b", "hi", "hey"), long_talk("c", 20))

    job = erase(indexer, speaker="Ana")

    assert (job["kind"], job["state"]) == ("erase", "done")
    assert job["receipt"] == {"dialogues": 3, "utterances": 12, "images": 1, "fragments": 7}
    found = indexer.read("a")["dialogue"]["utterances"]
    assert found[1] == {"id": 1, "ref": None, "speaker": "erased", "time": None, "content": ""}
    assert (found[0]["content"], found[2]["content"][0]["text"]) == ("hello Ana", "mine")
    assert not any(t.speaker == "Ana" for r in indexer.searched() for t in r.utterances)
    (record,) = indexer.searched("a")
    assert record.image_ids == [0]
    assert indexer.blobs.get(TENANT, others)
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, theirs)


def test_no_byte_of_the_ledger_keeps_a_trace(indexer: RunningIndexer, tmp_path: Path) -> None:
    indexer.index(*(talk(f"d{n}", f"{SECRET} {n}", "fine") for n in range(50)), key="k")
    indexer.index(*(talk(f"d{n}", f"{SECRET} again {n}", "fine") for n in range(50)))
    indexer.index(talk("other", "hello", "fine"))
    assert traces(tmp_path, SECRET, "Ana", "fine") == {SECRET, "Ana", "fine"}

    erase(indexer, speaker="Ana")

    assert traces(tmp_path, SECRET, "Ana", "fine") == {"fine"}
    assert len(indexer.searched()) == 51


def test_what_waits_is_erased_too(indexer: RunningIndexer, tmp_path: Path) -> None:
    indexer.generator.failure = Unavailable("gone")
    picture = indexer.picture()
    waits = long_talk("waits", 20)
    waits["utterances"][0] = shows("Ana", SECRET, picture)
    job = indexer.send([waits])
    wait_for(lambda: len(indexer.generator.asked) > 2)
    opened = indexer.ask("/v1/jobs/open", collection=SHELF, body_sha256="0" * 64)["job"]
    unsealed = [{"position": 0, "dialogue": talk("unsealed", SECRET, "fine")}]
    indexer.ask("/v1/jobs/items", job=opened, items=unsealed)

    erasing = indexer.ask("/v1/erase", what={"speaker": "Ana"})["id"]
    indexer.generator.failure = None
    indexer.ended(erasing)
    indexer.ask("/v1/jobs/seal", job=opened)
    indexer.ended(opened)
    indexer.ended(job)

    assert not any(t.speaker == "Ana" for r in indexer.searched() for t in r.utterances)
    assert {r.dialogue_id for r in indexer.searched()} == {"waits", "unsealed"}
    assert traces(tmp_path, SECRET, "Ana") == set()
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, picture)


def test_adding_turns_does_not_bring_back_what_is_being_erased(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", SECRET, "fine"))
    indexer.retriever.failure = Unavailable("gone")
    erasing = indexer.ask("/v1/erase", what={"speaker": "Ana"})["id"]
    turns = {"utterances": [{"speaker": "Ben", "content": "more"}]}
    added = indexer.ask(
        "/v1/dialogues/append",
        collection=SHELF, dialogue_id="a", dialogue=turns, body_sha256="0" * 64,
    )  # fmt: skip
    indexer.retriever.failure = None
    indexer.ended(erasing)
    indexer.ended(added["job"])

    (record,) = indexer.searched()
    assert [turn.content for turn in record.utterances] == ["", "fine", "more"]


def test_dialogues_with_the_metadata_go_as_a_whole(indexer: RunningIndexer, tmp_path: Path) -> None:
    shared, theirs = indexer.picture(1), indexer.picture(2)
    indexer.shelf("second")
    customer = {"metadata": {"customer": 7, "shop": "kites"}}
    indexer.index(
        {"id": "a", "utterances": [shows("Ana", SECRET, shared, theirs)]} | customer,
        {"id": "b", "utterances": [shows("Ana", "x", shared)], "metadata": {"customer": "7"}},
        talk("c", "x", metadata={"customer": True}),
    )
    indexer.index(talk("d", SECRET, metadata={"customer": 7.0}), shelf="second")

    job = erase(indexer, metadata={"customer": 7})

    assert job["receipt"] == {"dialogues": 2, "utterances": 2, "images": 2, "fragments": 2}
    assert {record.dialogue_id for record in indexer.searched()} == {"b", "c"}
    assert indexer.searched(shelf="second") == []
    assert traces(tmp_path, SECRET) == set()
    assert indexer.blobs.get(TENANT, shared)
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, theirs)


def test_who_is_nowhere_is_erased_with_an_empty_receipt(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"))

    job = erase(indexer, speaker="Nobody")

    assert job["state"] == "done"
    assert set(job["receipt"].values()) == {0}
    assert indexer.read("a")["revision"] == 1


def test_an_erased_request_may_be_sent_again_and_is_a_new_one(indexer: RunningIndexer) -> None:
    job = indexer.send([talk("a", "x")], key="k")
    indexer.ended(job)
    erase(indexer, speaker="Ana")

    assert indexer.send([talk("a", "x")], key="k") != job


def test_an_erasure_cannot_be_cancelled(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"))
    indexer.retriever.failure = Unavailable("gone")
    job = indexer.ask("/v1/erase", what={"speaker": "Ana"})["id"]

    assert indexer.post("/v1/jobs/cancel", job=job).status_code == 409

    indexer.retriever.failure = None
    assert indexer.ended(job)["state"] == "done"


def test_what_cannot_be_embedded_after_an_erasure_is_not_searched(
    indexer: RunningIndexer,
) -> None:
    indexer.index(talk("a", SECRET, "fine"))
    indexer.retriever.refuses = lambda record: "no"

    assert erase(indexer, speaker="Ana")["state"] == "done"
    assert indexer.searched() == []


def test_an_erasure_waits_for_no_reindex(indexer: RunningIndexer, tmp_path: Path) -> None:
    indexer.index(talk("a", SECRET, "fine"))
    indexer.retriever.models["clip"] = "clip@2"

    assert erase(indexer, speaker="Ana")["state"] == "done"

    assert indexer.searched() == []
    assert traces(tmp_path, SECRET) == set()
    indexer.ended(indexer.ask("/v1/reindex", collection=SHELF)["id"])
    (record,) = indexer.searched()
    assert [turn.content for turn in record.utterances] == ["", "fine"]


def every_row(db: Connection) -> str:
    return " ".join(str(db.execute(select(table)).all()) for table in metadata.sorted_tables)


@pytest.fixture
def on_postgres(postgres: Postgres, tmp_path: Path) -> Iterator[tuple[RunningIndexer, str]]:
    url = postgres.new_database()
    with running_indexer(tmp_path, ledger=url) as running:
        running.shelf()
        yield running, url


def test_on_postgresql_no_row_keeps_a_trace(on_postgres: tuple[RunningIndexer, str]) -> None:
    indexer, url = on_postgres
    indexer.index(*(talk(f"d{n}", f"{SECRET} {n}", "fine") for n in range(20)), key="k")

    job = erase(indexer, speaker="Ana")

    assert job["receipt"] == {"dialogues": 20, "utterances": 20, "images": 0, "fragments": 20}
    with closing(Database.open(ledger_url(url, None))) as database:
        found = asyncio.run(database.read(every_row))
    assert "fine" in found
    assert SECRET not in found
    assert "Ana" not in found
