"""Collections that are counted, dropped, erased and made anew, on both databases."""

import pytest
from sqlalchemy import select, update

from colloquy.contracts.collections import Erase
from colloquy.contracts.indexing import (
    EraseTraces,
    ListJobs,
    Reindex,
)
from colloquy.servicekit.problems import CollectionMissing, Conflict
from services.indexer.domain import Outcome
from services.indexer.ledger import (
    collections,
    erasure,
    housekeeping,
    jobs,
    reindexing,
    runs,
    schema,
)
from tests.integration.indexer.ledger_parts import LEASE_S, SHELF, Ledger, indexed, talk

pytestmark = pytest.mark.integration


async def test_a_dropped_collection_takes_everything_with_it(ledger: Ledger) -> None:
    await ledger.send(talk("a"))
    await ledger.index_all()
    await ledger.send(talk("b"))

    assert await ledger.write(lambda db: collections.begin_drop(db, SHELF))

    assert await ledger.read(collections.half_dropped) == [SHELF]
    for table in (schema.items, schema.dialogues, schema.fragments, schema.jobs):
        assert await ledger.read(lambda db, t=table: db.execute(select(t)).all()) == []
    with pytest.raises(CollectionMissing):
        await ledger.open()
    await ledger.write(lambda db: collections.end_drop(db, SHELF))
    assert not await ledger.write(lambda db: collections.begin_drop(db, SHELF))


async def test_a_collection_counts_what_is_indexed_and_what_waits(ledger: Ledger) -> None:
    await ledger.send(talk("a"))
    await ledger.index_all()
    await ledger.send(talk("b"), talk("b", "again"))

    found = await ledger.read(
        lambda db: collections.describe(db, collections.open_shelf(db, SHELF))
    )
    summary = await ledger.read(housekeeping.summarise)

    assert (found.dialogues, found.fragments, found.pending) == (1, 1, 1)
    assert (summary.dialogues, summary.fragments, summary.pending) == (1, 1, 1)
    assert summary.jobs == {"done": 1, "queued": 1}


async def test_what_was_not_changed_for_long_is_deleted(ledger: Ledger) -> None:
    await ledger.write(lambda db: collections.keep_for_days(db, SHELF, 30))
    await ledger.send(talk("old"), talk("new"), talk("changing"))
    await ledger.index_all()
    await ledger.write(
        lambda db: db.execute(
            update(schema.dialogues)
            .where(schema.dialogues.c.id != "new")
            .values(updated=schema.dialogues.c.updated - 31 * 86_400)
        )
    )
    await ledger.send(talk("changing", "again"))

    assert await ledger.write(housekeeping.delete_expired) == 1
    done = await ledger.index_all()

    assert [work.dialogue_id for work in done if work.action == "delete"] == ["old"]
    (job, *_), _ = await ledger.read(lambda db: jobs.list_jobs(db, ListJobs(tenant="acme")))
    assert (job.kind, job.state, job.counts.indexed) == ("retention", "done", 1)


async def test_erasing_scrubs_what_waits_and_follows_what_runs(ledger: Ledger) -> None:
    await ledger.send(talk("indexed", "x", speaker="Eve"), talk("other", "x"))
    await ledger.index_all()
    unsealed = await ledger.open()
    await ledger.add(unsealed, talk("unsealed", "x", speaker="Eve"))
    await ledger.send(talk("runs", "x", speaker="Eve"))
    (running,) = await ledger.lease()
    await ledger.send(talk("waits", "x", speaker="Eve"))

    asked = EraseTraces(tenant="acme", what=Erase(speaker="Eve"))
    job = await ledger.write(lambda db: erasure.accept_erasure(db, asked))
    for step in (erasure.scrub_waiting, erasure.find_indexed):
        run = await ledger.write(lambda db: runs.take_run(db, "one", LEASE_S))
        assert run is not None
        await ledger.write(lambda db, run=run, step=step: step(db, run))
        await ledger.write(lambda db, run=run: runs.put_down(db, run, "one"))

    rows = await ledger.read(lambda db: db.execute(select(schema.items)).all())
    kept = {r.dialogue_id: r.content for r in rows if r.content and r.state != "running"}
    assert kept.keys() == {"unsealed", "waits"}
    assert not any("Eve" in content for content in kept.values())
    behind = [r.dialogue_id for r in rows if r.action == "erase"]
    assert sorted(behind) == ["indexed", "runs"]
    assert (await ledger.job(job)).receipt is None
    assert running.dialogue_id == "runs"


async def test_a_reindex_copies_everything_and_is_made_once(ledger: Ledger) -> None:
    await ledger.send(talk("a"), talk("b"))
    await ledger.index_all()
    asked = Reindex(**SHELF.model_dump())

    job = await ledger.write(lambda db: reindexing.accept_reindex(db, asked))
    assert await ledger.write(lambda db: reindexing.accept_reindex(db, asked)) == job
    run = await ledger.write(lambda db: runs.take_run(db, "one", LEASE_S))
    assert run is not None
    assert await ledger.write(lambda db: runs.take_run(db, "two", LEASE_S)) is None
    await ledger.write(lambda db: reindexing.begin_copies(db, run))

    work = await ledger.lease()
    assert {(one.action, one.dialogue_id, one.reindex_job) for one in work} == {
        ("copy", "a", job),
        ("copy", "b", job),
    }


async def test_a_reindex_is_cancelling_until_nobody_writes_to_the_copy(ledger: Ledger) -> None:
    await ledger.send(talk("a"), talk("b"))
    await ledger.index_all()
    asked = Reindex(**SHELF.model_dump())
    job = await ledger.write(lambda db: reindexing.accept_reindex(db, asked))
    run = await ledger.write(lambda db: runs.take_run(db, "one", LEASE_S))
    assert run is not None
    await ledger.write(lambda db: reindexing.begin_copies(db, run))
    await ledger.write(lambda db: runs.put_down(db, run, "one"))
    (copy,) = await ledger.lease(limit=1)

    assert (await ledger.cancel(job)).state == "cancelling"
    with pytest.raises(Conflict, match="still being cancelled"):
        await ledger.write(lambda db: reindexing.accept_reindex(db, asked))
    undo = await ledger.write(lambda db: runs.take_run(db, "one", LEASE_S))
    assert undo is not None
    assert undo.phase == reindexing.UNDO
    assert (await ledger.job(job)).state == "cancelling"
    assert await ledger.write(lambda db: reindexing.stop_copying(db, undo))
    await ledger.complete(Outcome(copy, "indexed"))  # of another copy than there is now
    assert not await ledger.write(lambda db: reindexing.stop_copying(db, undo))


async def test_an_item_that_a_reindex_overtakes_is_done_again(ledger: Ledger) -> None:
    await ledger.send(talk("a"))
    (work,) = await ledger.lease()
    asked = Reindex(**SHELF.model_dump())
    await ledger.write(lambda db: reindexing.accept_reindex(db, asked))
    run = await ledger.write(lambda db: runs.take_run(db, "one", LEASE_S))
    assert run is not None
    await ledger.write(lambda db: reindexing.begin_copies(db, run))

    told = await ledger.complete(indexed(work))
    (again,) = await ledger.lease()

    assert len(told.lost) == 1
    assert (again.id, again.reindex_job) == (work.id, run.id)
