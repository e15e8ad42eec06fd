"""The ledger, over both databases."""

import asyncio
from collections import Counter
from contextlib import closing
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import inspect, select, text, update

from colloquy.contracts.collections import Erase, ItemError
from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import (
    AddItems,
    AppendTurns,
    DialogueRef,
    EraseTraces,
    Item,
    JobRef,
    ListDialogues,
    ListJobs,
    OpenJob,
    Reindex,
    SealJob,
)
from colloquy.contracts.retrieval import CollectionRef, SpaceState
from colloquy.servicekit.problems import CollectionMissing, Conflict, NotFound
from services.indexer.domain import Kept, Outcome, Work, content_of, pieces_of
from services.indexer.ledger import (
    acceptance,
    cancelling,
    collections,
    dialogues,
    erasure,
    growth,
    housekeeping,
    jobs,
    leases,
    reindexing,
    releases,
    runs,
    schema,
)
from services.indexer.ledger.database import Database, LedgerRefused, ledger_url

pytestmark = pytest.mark.integration
SHELF = CollectionRef(tenant="acme", collection="family")
SPACE = SpaceState(name="clip", revision="clip@1", dimensions=8)
BODY = "0" * 64
LEASE_S = 30.0


class Ledger:
    """A ledger with one collection, and what is done with it again and again."""

    def __init__(self, database: Database) -> None:
        self.write = database.write
        self.read = database.read

    async def open(self, key: str | None = None, body: str = BODY, shelf: Any = SHELF) -> str:
        asked = OpenJob(**shelf.model_dump(), idempotency_key=key, body_sha256=body)
        return (await self.write(lambda db: acceptance.open_job(db, asked))).job

    async def add(self, job: str, *told: Dialogue, first: int = 0) -> None:
        items = [Item(position=first + i, dialogue=one) for i, one in enumerate(told)]
        asked = AddItems(tenant="acme", job=job, items=items)
        await self.write(lambda db: acceptance.add_items(db, asked))

    async def seal(self, job: str) -> Any:
        return await self.write(lambda db: acceptance.seal_job(db, SealJob(tenant="acme", job=job)))

    async def send(self, *told: Dialogue, key: str | None = None) -> str:
        job = await self.open(key)
        await self.add(job, *told)
        await self.seal(job)
        return job

    async def send_as(self, tenant: str, count: int) -> str:
        """Sends so many dialogues of another tenant."""
        shelf = CollectionRef(tenant=tenant, collection="family")

        def accept(db: Any) -> str:
            if collections.find_shelf(db, shelf) is None:
                collections.add_shelf(db, shelf, "dialogues", [SPACE], None)
            asked = OpenJob(**shelf.model_dump(), body_sha256=BODY)
            job = acceptance.open_job(db, asked).job
            items = [Item(position=n, dialogue=talk(f"d{n:04}")) for n in range(count)]
            acceptance.add_items(db, AddItems(tenant=tenant, job=job, items=items))
            acceptance.seal_job(db, SealJob(tenant=tenant, job=job))
            return job

        return await self.write(accept)

    async def lease(self, owner: str = "one", limit: int = 10) -> list[Work]:
        return await self.write(lambda db: leases.lease(db, owner, LEASE_S, limit))

    async def complete(self, *outcomes: Outcome, owner: str = "one") -> leases.Completed:
        return await self.write(lambda db: leases.complete(db, owner, outcomes))

    async def index_all(self, owner: str = "one") -> list[Work]:
        """Takes all that is there and says that it is indexed."""
        done = []
        while work := await self.lease(owner):
            await self.complete(*(indexed(one) for one in work), owner=owner)
            done += work
        return done

    async def job(self, job: str, tenant: str = "acme") -> Any:
        return await self.read(lambda db: jobs.read_job(db, JobRef(tenant=tenant, job=job)))

    async def cancel(self, job: str) -> Any:
        ref = JobRef(tenant="acme", job=job)
        return await self.write(lambda db: cancelling.cancel_job(db, ref))

    async def stored(self, identity: str) -> Any:
        ref = DialogueRef(**SHELF.model_dump(), dialogue_id=identity)
        return await self.read(lambda db: dialogues.read_dialogue(db, ref))


def talk(identity: str, *texts: str, speaker: str = "Ana") -> Dialogue:
    turns = [{"speaker": speaker, "content": text} for text in texts or ("hello",)]
    return Dialogue.model_validate({"id": identity, "utterances": turns})


def indexed(work: Work) -> Outcome:
    if work.action != "put":
        return Outcome(work, "indexed", gone=work.action == "delete")
    dialogue = Dialogue.model_validate_json(work.content or "")
    pieces = pieces_of(dialogue, {0: range(len(dialogue.utterances))})
    revision = (work.stored.revision if work.stored else 0) + 1
    kept = Kept(dialogue, content_of(dialogue), revision, pieces, work.blob_owner)
    return Outcome(work, "indexed", kept=kept)


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    await database.write(lambda db: collections.add_shelf(db, SHELF, "dialogues", [SPACE], None))
    return Ledger(database)


# --- the database -----------------------------------------------------------------------------


async def test_a_ledger_keeps_what_it_was_told(url: str) -> None:
    with closing(Database.open(ledger_url(url, None))) as database:
        await database.write(lambda db: collections.add_shelf(db, SHELF, "dialogues", [SPACE], 7))
    with closing(Database.open(ledger_url(url, None))) as database:
        found = await database.read(lambda db: collections.open_shelf(db, SHELF))

    assert (found.spaces, found.retention_days) == ((SPACE,), 7)


async def test_a_ledger_that_a_newer_colloquy_made_is_refused(url: str) -> None:
    with closing(Database.open(ledger_url(url, None))) as database:
        await database.write(
            lambda db: db.execute(update(schema.schema_version).values(version=99))
        )

    with pytest.raises(LedgerRefused, match="schema 99, made by a newer Colloquy"):
        Database.open(ledger_url(url, None))


async def test_a_ledger_of_the_first_schema_is_brought_to_this_one(url: str) -> None:
    def as_it_was(db: Any) -> None:
        for made in (
            "DROP INDEX items_to_lease",
            "DROP TABLE turns",
            "ALTER TABLE items DROP COLUMN tried_s",
            "CREATE INDEX items_to_do ON items (state, priority, accepted, id)",
            "UPDATE schema_version SET version = 1",
        ):
            db.execute(text(made))

    with closing(Database.open(ledger_url(url, None))) as database:
        await database.write(
            lambda db: collections.add_shelf(db, SHELF, "dialogues", [SPACE], None)
        )
        job = await Ledger(database).send(talk("a"))
        await database.write(as_it_was)

    with closing(Database.open(ledger_url(url, None))) as database:
        indexes = await database.read(lambda db: inspect(db).get_indexes("items"))
        version = await database.read(lambda db: db.scalar(select(schema.schema_version)))
        await Ledger(database).index_all()
        found = await Ledger(database).job(job)

    names = {index["name"] for index in indexes}
    assert names == {index.name for index in schema.items.indexes}
    assert (version, found.state) == (schema.VERSION, "done")


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail(db: Any) -> None:
        collections.add_shelf(db, SHELF, "dialogues", [SPACE], None)
        raise NotFound

    with pytest.raises(NotFound):
        await database.write(fail)

    assert await database.read(lambda db: collections.find_shelf(db, SHELF)) is None


def test_two_that_open_an_empty_ledger_at_once_both_succeed(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: Database.open(ledger_url(url, None)), range(4)))

    for database in opened:
        database.close()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("mysql://host/x", "SQLite or PostgreSQL"),
        ("not an address", "not a database URL"),
        ("postgresql://user:word@host/x", "belongs into the environment"),
    ],
)
def test_an_address_that_is_no_ledgers_is_refused(address: str, why: str) -> None:
    with pytest.raises(LedgerRefused, match=why):
        ledger_url(address, None)


def test_the_password_of_the_environment_reaches_the_address_and_no_print() -> None:
    url = ledger_url("postgresql://user@host/x", SecretStr("word"))

    assert url.password == "word"
    assert "word" not in repr(url)


def test_a_ledger_that_cannot_be_reached_says_so_without_its_address() -> None:
    with pytest.raises(LedgerRefused, match="cannot be opened") as refused:
        Database.open(ledger_url("postgresql://user@127.0.0.1:1/x", None))

    assert "127.0.0.1" not in str(refused.value)


# --- acceptance -------------------------------------------------------------------------------


async def test_nothing_is_done_before_the_seal(ledger: Ledger) -> None:
    job = await ledger.open()
    await ledger.add(job, talk("a"))

    assert await ledger.lease() == []
    assert (await ledger.job(job)).state == "receiving"

    opened = await ledger.seal(job)

    assert (opened.sealed, opened.accepted, opened.failed) == (True, 1, 0)
    assert [work.dialogue_id for work in await ledger.lease()] == ["a"]


async def test_items_that_are_sent_twice_are_there_once(ledger: Ledger) -> None:
    job = await ledger.open()
    for _ in range(2):
        await ledger.add(job, talk("a"), talk("b"))

    assert (await ledger.seal(job)).accepted == 2
    assert (await ledger.seal(job)).accepted == 2
    assert len(await ledger.lease()) == 2


async def test_a_sealed_job_takes_no_more(ledger: Ledger) -> None:
    job = await ledger.send(talk("a"))

    with pytest.raises(Conflict):
        await ledger.add(job, talk("b"), first=1)


async def test_a_job_without_items_is_done(ledger: Ledger) -> None:
    assert (await ledger.job(await ledger.send())).state == "done"


async def test_errors_of_the_request_are_failed_items(ledger: Ledger) -> None:
    job = await ledger.open()
    error = ItemError(item=1, line=7, dialogue_id=None, at="utterances", why="a dialogue has turns")
    asked = AddItems(
        tenant="acme", job=job, items=[Item(position=0, dialogue=talk("a"))], errors=[error]
    )
    await ledger.write(lambda db: acceptance.add_items(db, asked))

    opened = await ledger.seal(job)
    await ledger.index_all()
    found = await ledger.job(job)

    assert (opened.accepted, opened.failed) == (1, 1)
    assert (found.state, found.counts.indexed, found.counts.failed) == ("done", 1, 1)
    assert found.errors == [error]


async def test_an_id_that_no_database_can_hold_is_an_items_error(ledger: Ledger) -> None:
    job = await ledger.send(talk("a\0b"), talk("c"))
    await ledger.index_all()

    found = await ledger.job(job)

    assert [(error.item, error.at) for error in found.errors] == [(0, "id")]
    assert found.counts.indexed == 1


async def test_a_name_that_no_database_can_hold_is_nobodys(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.stored("a\0b")
    with pytest.raises(NotFound):
        await ledger.job("a\0b")


async def test_texts_with_any_character_are_kept_to_the_letter(ledger: Ledger) -> None:
    said = "NUL \0, quotes ' \" and \\, 你好, 🎂, <|utt_id_start|>"
    await ledger.send(talk("a'; DROP TABLE items; --", said))
    await ledger.index_all()

    found = await ledger.stored("a'; DROP TABLE items; --")

    assert found.dialogue.utterances[0].content == said


async def test_the_same_key_with_the_same_body_is_the_same_job(ledger: Ledger) -> None:
    job = await ledger.send(talk("a"), key="k")

    assert await ledger.open("k") == job
    with pytest.raises(Conflict, match="idempotency key"):
        await ledger.open("k", body="1" * 64)


async def test_a_key_is_its_tenants(ledger: Ledger) -> None:
    other = CollectionRef(tenant="rival", collection="family")
    await ledger.write(lambda db: collections.add_shelf(db, other, "dialogues", [SPACE], None))
    job = await ledger.send(talk("a"), key="k")

    assert await ledger.open("k", shelf=other) != job


async def test_whoever_begins_again_replaces_what_was_never_sealed(ledger: Ledger) -> None:
    broken = await ledger.open("k")
    await ledger.add(broken, talk("a"))

    again = await ledger.open("k")
    await ledger.add(again, talk("a"))
    await ledger.seal(again)

    assert again != broken
    with pytest.raises(NotFound):
        await ledger.seal(broken)
    assert len(await ledger.lease()) == 1


async def test_what_is_never_sealed_leaves_nothing_behind(ledger: Ledger) -> None:
    picture = {"type": "image_url", "image_url": {"url": "blob:" + "0" * 64}}
    shown = Dialogue.model_validate(
        {"id": "a", "utterances": [{"speaker": "Ana", "content": [picture]}]}
    )
    job = await ledger.open("k")
    await ledger.add(job, shown)

    assert await ledger.write(lambda db: acceptance.sweep_unsealed(db, 3_600)) == 0
    assert await ledger.write(lambda db: acceptance.sweep_unsealed(db, -1)) == 1

    assert await ledger.read(lambda db: db.execute(select(schema.items)).all()) == []
    assert await ledger.read(lambda db: db.execute(select(schema.jobs)).all()) == []
    owners = [release.owner for release in await ledger.read(releases.due)]
    assert owners == [f"{job}:0"]


async def test_another_tenant_sees_no_job(ledger: Ledger) -> None:
    job = await ledger.send(talk("a"))

    with pytest.raises(NotFound):
        await ledger.job(job, tenant="rival")
    listed = await ledger.read(lambda db: jobs.list_jobs(db, ListJobs(tenant="rival")))
    assert listed == ([], None)


# --- leases -----------------------------------------------------------------------------------


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


# --- dialogues --------------------------------------------------------------------------------


async def test_a_dialogue_that_waits_is_read_back(ledger: Ledger) -> None:
    await ledger.send(talk("a", "hello"))

    found = await ledger.stored("a")

    assert (found.state, found.revision, found.fragments) == ("queued", 0, [])
    assert found.dialogue == talk("a", "hello")


async def test_dialogues_are_listed_page_by_page(ledger: Ledger) -> None:
    await ledger.send(*(talk(f"d{n}") for n in range(5)))
    await ledger.index_all()

    names, cursor = [], None
    while True:
        asked = ListDialogues(**SHELF.model_dump(), limit=2, cursor=cursor)
        page, cursor = await ledger.read(
            lambda db, asked=asked: dialogues.list_dialogues(db, asked)
        )
        names += [one.id for one in page]
        if cursor is None:
            break

    assert names == ["d0", "d1", "d2", "d3", "d4"]


async def test_a_deletion_gives_up_what_waits_and_comes_after_what_runs(ledger: Ledger) -> None:
    job = await ledger.send(talk("a", "one"), talk("a", "two"))
    (running,) = await ledger.lease()
    ref = DialogueRef(**SHELF.model_dump(), dialogue_id="a")

    await ledger.write(lambda db: dialogues.accept_deletion(db, ref))
    assert await ledger.lease() == []
    await ledger.complete(indexed(running))
    (deletion,) = await ledger.lease()
    await ledger.complete(indexed(deletion))

    assert deletion.action == "delete"
    assert not await ledger.read(lambda db: dialogues.is_being_deleted(db, ref))
    with pytest.raises(NotFound):
        await ledger.stored("a")
    counts = (await ledger.job(job)).counts
    assert (counts.indexed, counts.cancelled) == (1, 1)


async def test_what_is_not_there_cannot_be_deleted(ledger: Ledger) -> None:
    ref = DialogueRef(**SHELF.model_dump(), dialogue_id="a")

    with pytest.raises(NotFound):
        await ledger.write(lambda db: dialogues.accept_deletion(db, ref))


async def test_a_dialogue_sent_after_its_deletion_is_new(ledger: Ledger) -> None:
    await ledger.send(talk("a", "old"))
    await ledger.index_all()
    ref = DialogueRef(**SHELF.model_dump(), dialogue_id="a")
    await ledger.write(lambda db: dialogues.accept_deletion(db, ref))
    await ledger.send(talk("a", "new"))
    await ledger.index_all()

    found = await ledger.stored("a")

    assert (found.revision, found.dialogue.utterances[0].content) == (1, "new")


def turns(count: int | None, *texts: str) -> AppendTurns:
    return AppendTurns(
        **SHELF.model_dump(),
        dialogue_id="a",
        dialogue=talk("a", *texts),
        expected_turns=count,
        idempotency_key=None,
        body_sha256=BODY,
    )


async def test_turns_are_added_to_what_waits_too(ledger: Ledger) -> None:
    await ledger.send(talk("a", "one"))
    for count, said in ((1, "two"), (2, "three")):
        asked = turns(count, said)
        await ledger.write(lambda db, asked=asked: growth.accept_turns(db, asked, frozenset(), "o"))
    await ledger.index_all()

    found = await ledger.stored("a")

    assert [turn.content for turn in found.dialogue.utterances] == ["one", "two", "three"]


async def test_turns_for_another_length_are_refused(ledger: Ledger) -> None:
    await ledger.send(talk("a", "one"))

    with pytest.raises(Conflict, match="has 1 turns, not 5"):
        await ledger.write(lambda db: growth.accept_turns(db, turns(5, "x"), frozenset(), "o"))


async def test_turns_of_a_dialogue_that_is_not_there_are_refused(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.write(lambda db: growth.accept_turns(db, turns(None, "x"), frozenset(), "o"))


# --- jobs -------------------------------------------------------------------------------------


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


# --- collections ------------------------------------------------------------------------------


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


# --- erasing and reindexing -------------------------------------------------------------------


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
