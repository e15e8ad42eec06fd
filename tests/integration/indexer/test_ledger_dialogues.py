"""What a ledger knows of a dialogue, on both databases."""

import pytest

from colloquy.contracts.indexing import (
    AppendTurns,
    DialogueRef,
    ListDialogues,
)
from colloquy.servicekit.problems import Conflict, NotFound
from services.indexer.ledger import (
    dialogues,
    growth,
)
from tests.integration.indexer.ledger_parts import BODY, SHELF, Ledger, indexed, talk

pytestmark = pytest.mark.integration


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
