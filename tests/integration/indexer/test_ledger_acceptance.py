"""What a ledger takes in, on both databases."""

import pytest
from sqlalchemy import select

from colloquy.contracts.collections import ItemError
from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import (
    AddItems,
    Item,
    ListJobs,
)
from colloquy.contracts.retrieval import CollectionRef
from colloquy.servicekit.problems import Conflict, NotFound
from services.indexer.ledger import (
    acceptance,
    collections,
    jobs,
    releases,
    schema,
)
from tests.integration.indexer.ledger_parts import SPACE, Ledger, talk

pytestmark = pytest.mark.integration


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
