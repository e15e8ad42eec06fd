"""Jobs that are followed, given up and forgotten, on both databases."""

import asyncio

import pytest
from sqlalchemy import select

from colloquy.contracts.indexing import (
    ListJobs,
)
from colloquy.servicekit.problems import Conflict, NotFound
from services.indexer.domain import Outcome
from services.indexer.ledger import (
    jobs,
    leases,
    schema,
)
from tests.integration.indexer.ledger_parts import (
    Ledger,
    indexed,
    talk,
)

pytestmark = pytest.mark.integration


async def test_a_cancelled_job_leaves_what_was_not_begun_undone(ledger: Ledger) -> None:
    job = await ledger.send(*(talk(f"d{n}") for n in range(5)))
    work = await ledger.lease(limit=2)

    found = await ledger.cancel(job)
    assert (found.state, found.counts.cancelled) == ("cancelling", 3)
    await ledger.complete(indexed(work[0]))
    assert (await ledger.cancel(job)).state == "cancelling"
    await ledger.complete(indexed(work[1]))

    found = await ledger.job(job)
    assert (found.state, found.counts.indexed, found.counts.cancelled) == ("cancelled", 2, 3)
    assert await ledger.lease() == []


async def test_a_job_of_which_nothing_was_begun_is_cancelled_at_once(ledger: Ledger) -> None:
    job = await ledger.send(talk("a"))

    assert (await ledger.cancel(job)).state == "cancelled"
    assert await ledger.lease() == []


async def test_what_comes_to_nothing_is_not_tried_again_for_a_cancelled_job(
    ledger: Ledger,
) -> None:
    job = await ledger.send(talk("a", "x"), talk("b", "x"))
    tried, running = await ledger.lease()
    await ledger.complete(Outcome(tried, "waiting", wait_s=60.0))

    assert (await ledger.cancel(job)).state == "cancelling"
    await ledger.complete(Outcome(running, "waiting", wait_s=60.0))

    found = await ledger.job(job)
    assert (found.state, found.counts.cancelled) == ("cancelled", 2)
    # Either may have left something that is searched.
    mending = await ledger.lease()
    assert {(one.action, one.dialogue_id, one.job) for one in mending} == {
        ("renew", "a", None),
        ("renew", "b", None),
    }


async def test_a_job_is_cancelled_although_who_worked_on_it_died(ledger: Ledger) -> None:
    job = await ledger.send(talk("a", "x"))
    await ledger.lease("one")
    await ledger.cancel(job)
    await ledger.write(lambda db: leases.give_back(db, "one"))

    await ledger.index_all("two")

    found = await ledger.job(job)
    assert (found.state, found.counts.indexed) == ("cancelled", 1)


async def test_a_job_that_was_cancelled_cannot_be_sealed(ledger: Ledger) -> None:
    job = await ledger.open()
    await ledger.add(job, talk("a"))
    await ledger.cancel(job)

    with pytest.raises(Conflict):
        await ledger.seal(job)
    assert await ledger.lease() == []


async def test_jobs_are_listed_newest_first(ledger: Ledger) -> None:
    sent = []
    for n in range(3):
        sent.append(await ledger.send(talk(f"d{n}")))
        await asyncio.sleep(0.003)

    first, cursor = await ledger.read(
        lambda db: jobs.list_jobs(db, ListJobs(tenant="acme", limit=2))
    )
    rest, end = await ledger.read(
        lambda db: jobs.list_jobs(db, ListJobs(tenant="acme", limit=2, cursor=cursor))
    )

    assert [job.id for job in [*first, *rest]] == sent[::-1]
    assert end is None


async def test_old_jobs_go_with_their_items(ledger: Ledger) -> None:
    job = await ledger.send(talk("a"))
    await ledger.index_all()

    assert await ledger.write(lambda db: jobs.prune(db, 3_600)) == 0
    assert await ledger.write(lambda db: jobs.prune(db, -1)) == 1

    with pytest.raises(NotFound):
        await ledger.job(job)
    assert await ledger.read(lambda db: db.execute(select(schema.items)).all()) == []
    assert (await ledger.stored("a")).state == "indexed"
