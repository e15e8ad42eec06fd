"""Whose work is next and who holds it, on both databases."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import update

from colloquy.contracts.collections import ItemError
from colloquy.contracts.content import Dialogue
from services.indexer.domain import Outcome
from services.indexer.ledger import (
    leases,
    schema,
)
from tests.integration.indexer.ledger_parts import (
    LEASE_S,
    Ledger,
    indexed,
    talk,
)

pytestmark = pytest.mark.integration


async def test_what_one_holds_nobody_else_gets(ledger: Ledger) -> None:
    await ledger.send(*(talk(f"d{n}") for n in range(6)))

    mine, theirs = await ledger.lease("one", 4), await ledger.lease("two", 4)

    assert len(mine) == 4
    assert len(theirs) == 2
    assert not {work.id for work in mine} & {work.id for work in theirs}


async def test_many_that_lease_at_once_share_without_overlap(ledger: Ledger) -> None:
    await ledger.send(*(talk(f"d{n}") for n in range(60)))

    shares = await asyncio.gather(*(ledger.lease(f"o{n}", 10) for n in range(8)))
    rest = await ledger.lease("last", 100)

    ids = [work.id for share in [*shares, rest] for work in share]
    assert len(ids) == len(set(ids)) == 60


async def test_who_sends_much_holds_nobody_back(ledger: Ledger) -> None:
    await ledger.send_as("big", 200)
    await ledger.send_as("small", 3)

    work = await ledger.lease(limit=10)

    taken = Counter(one.tenant for one in work)
    assert taken == {"big": 7, "small": 3}
    assert [one.dialogue_id for one in work if one.tenant == "big"] == [
        f"d{n:04}" for n in range(7)
    ]


async def test_who_has_much_under_way_waits_for_who_has_nothing(ledger: Ledger) -> None:
    await ledger.send_as("big", 50)
    assert len(await ledger.lease("one", 8)) == 8
    await ledger.send_as("small", 50)

    taken = Counter(one.tenant for one in await ledger.lease("two", 12))

    assert taken == {"small": 10, "big": 2}


async def test_more_tenants_than_places_take_turns(ledger: Ledger) -> None:
    tenants = [f"tenant-{letter}" for letter in "abcde"]
    for tenant in tenants:
        await ledger.send_as(tenant, 4)

    served = Counter(dict.fromkeys(tenants, 0))
    while work := await ledger.lease(limit=2):
        served.update(one.tenant for one in work)
        assert max(served.values()) - min(served.values()) <= 1
        await ledger.complete(*(indexed(one) for one in work))

    assert served == dict.fromkeys(tenants, 4)


async def test_a_place_that_a_tenant_cannot_use_is_anothers(ledger: Ledger) -> None:
    await ledger.send_as("big", 20)
    await ledger.send(talk("a", "one"), talk("a", "two"), talk("a", "three"))

    taken = Counter(one.tenant for one in await ledger.lease(limit=10))

    assert taken == {"big": 9, "acme": 1}  # of one dialogue there is one at a time


async def test_of_one_dialogue_the_earlier_item_is_done_first(ledger: Ledger) -> None:
    await ledger.send(talk("a", "one"))
    await ledger.send(talk("a", "two"), talk("a", "three"), talk("b"))

    order = []
    while work := await ledger.lease():
        assert len({one.dialogue_id for one in work}) == len(work)
        order += [one.content for one in work if one.dialogue_id == "a"]
        await ledger.complete(*(indexed(one) for one in work))

    assert [Dialogue.model_validate_json(c or "").utterances[0].content for c in order] == [
        "one", "two", "three",
    ]  # fmt: skip
    assert (await ledger.stored("a")).revision == 3


async def test_what_was_sealed_first_is_accepted_first(ledger: Ledger) -> None:
    early, late = await ledger.open(), await ledger.open()
    await ledger.add(early, talk("a", "sealed last"))
    await ledger.add(late, talk("a", "sealed first"))
    await ledger.seal(late)
    await ledger.seal(early)
    await ledger.index_all()

    assert (await ledger.stored("a")).dialogue.utterances[0].content == "sealed last"


async def test_a_lease_that_nobody_renews_is_anothers(ledger: Ledger) -> None:
    await ledger.send(talk("a"), talk("b"))
    (held, lost) = await ledger.lease("one", 2)
    await ledger.write(
        lambda db: db.execute(
            update(schema.items).where(schema.items.c.id == lost.id).values(lease_until=1.0)
        )
    )

    # Who asks lives, and was only late.
    assert await ledger.write(lambda db: leases.expire(db, but="one")) == 0
    assert await ledger.write(leases.expire) == 1
    (again,) = await ledger.lease("two")

    assert (again.id, again.attempts) == (lost.id, 2)
    assert held.id != again.id


async def test_renewing_holds_everything(ledger: Ledger) -> None:
    await ledger.send(talk("a"))
    await ledger.write(lambda db: leases.lease(db, "one", -1.0, 1))

    await ledger.write(lambda db: leases.renew(db, "one", LEASE_S))

    assert await ledger.write(leases.expire) == 0


async def test_who_comes_too_late_changes_nothing_and_has_it_mended(ledger: Ledger) -> None:
    await ledger.send(talk("a", "one"))
    (work,) = await ledger.lease("slow")
    await ledger.write(lambda db: leases.give_back(db, "slow"))
    await ledger.index_all("quick")

    told = await ledger.complete(indexed(work), owner="slow")

    assert (len(told.counted), len(told.lost)) == (0, 1)
    assert (await ledger.stored("a")).revision == 1
    (mending,) = await ledger.lease("quick")
    assert (mending.action, mending.dialogue_id, mending.job) == ("renew", "a", None)
    await ledger.complete(Outcome(mending, "indexed"), owner="quick")
    assert await ledger.lease("quick") == []


async def test_what_waits_comes_again_after_a_while(ledger: Ledger) -> None:
    await ledger.send(talk("a"))
    (work,) = await ledger.lease()

    await ledger.complete(Outcome(work, "waiting", wait_s=0.3, own_fault=True, tried_s=5.0))

    assert await ledger.lease() == []
    await asyncio.sleep(0.35)
    (again,) = await ledger.lease()
    assert (again.attempts, again.failures, again.tried_s) == (2, 1, 5.0)


async def test_a_failed_item_is_mended_before_it_ends(ledger: Ledger) -> None:
    job = await ledger.send(talk("a"))
    (work,) = await ledger.lease()

    await ledger.complete(Outcome(work, "mend", at="utterances/0", why="no"))
    assert (await ledger.job(job)).state == "running"
    (mending,) = await ledger.lease()
    await ledger.complete(Outcome(mending, "indexed"))

    found = await ledger.job(job)
    assert (mending.action, mending.turns) == ("renew", 1)
    assert (found.state, found.counts.failed) == ("failed", 1)
    assert found.errors == [ItemError(item=0, dialogue_id="a", at="utterances/0", why="no")]


async def test_a_job_is_done_when_two_end_its_last_items_at_once(ledger: Ledger) -> None:
    for round_ in range(10):
        job = await ledger.send(talk(f"a{round_}"), talk(f"b{round_}"))
        (one,), (two,) = await ledger.lease("one", 1), await ledger.lease("two", 1)

        await asyncio.gather(
            ledger.complete(indexed(one), owner="one"), ledger.complete(indexed(two), owner="two")
        )

        assert (await ledger.job(job)).state == "done"


async def test_progress_is_told(ledger: Ledger) -> None:
    job = await ledger.send(*(talk(f"d{n}") for n in range(4)))
    work = await ledger.lease(limit=2)
    await ledger.complete(indexed(work[0]), Outcome(work[1], "indexed", unchanged=True))

    found = await ledger.job(job)

    assert found.state == "running"
    counts = found.counts
    assert (counts.total, counts.indexed, counts.unchanged, counts.failed) == (4, 2, 1, 0)
    assert found.eta_s is not None
