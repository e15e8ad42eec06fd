"""Adding turns to a living dialogue."""

from sqlalchemy import Connection, select

from colloquy.contracts.content import MAX_TURNS, Dialogue
from colloquy.contracts.indexing import AppendTurns, DialogueRef, OpenedJob
from colloquy.media.failures import at_place
from colloquy.servicekit.problems import Conflict, Malformed, NotFound
from services.indexer.domain import PUT, content_of
from services.indexer.ledger.acceptance import add_work, hashed, job_of_key, next_number
from services.indexer.ledger.collections import open_shelf
from services.indexer.ledger.dialogues import MISSING, pending_of
from services.indexer.ledger.erasure import erasures_under_way
from services.indexer.ledger.jobs import add_job
from services.indexer.ledger.releases import adopt
from services.indexer.ledger.schema import dialogues
from services.indexer.scrub import scrub_all

_KIND = "append"


def base_of(db: Connection, ref: DialogueRef) -> list[str]:
    """The pictures of the dialogue that would grow."""
    return _newest(db, ref).images


def accept_turns(
    db: Connection, asked: AppendTurns, held: frozenset[str], owner: str
) -> OpenedJob | None:
    """Accepts the dialogue with its new turns; None when it changed, and needs other pictures.

    Raises:
        NotFound: there is no such dialogue.
        Conflict: it has another number of turns than expected, or the key was used otherwise.
        Malformed: it would be too long.
    """
    number = next_number(db)
    open_shelf(db, asked)
    key = hashed(asked.idempotency_key)
    earlier = job_of_key(db, asked, key, _KIND, asked.body_sha256)
    if earlier is not None:
        return OpenedJob(job=earlier.id, sealed=True, accepted=1)
    ref = DialogueRef(
        tenant=asked.tenant, collection=asked.collection, dialogue_id=asked.dialogue_id
    )
    base = _newest(db, ref)
    grown = _grown(base, asked)
    if not held.issuperset(grown.images) or (grown.images and not adopt(db, ref.tenant, owner)):
        return None
    job = add_job(
        db,
        tenant=asked.tenant,
        collection=asked.collection,
        kind=_KIND,
        idempotency_key=key,
        body_sha256=asked.body_sha256,
    )
    add_work(
        db,
        accepted=number,
        tenant=asked.tenant,
        collection=asked.collection,
        dialogue_id=asked.dialogue_id,
        action=PUT,
        job=job,
        position=0,
        content=content_of(grown),
        turns=len(grown.utterances),
        blob_owner=owner if grown.images else None,
    )
    return OpenedJob(job=job, sealed=True, accepted=1)


def _newest(db: Connection, ref: DialogueRef) -> Dialogue:
    """The dialogue as it will be when all that waits is done; without what is being erased."""
    open_shelf(db, ref)
    pending = pending_of(db, ref)
    waiting = pending.content
    content = waiting.content if waiting is not None else None
    if content is None and not pending.goes:
        content = db.scalar(
            select(dialogues.c.content).where(
                dialogues.c.tenant == ref.tenant,
                dialogues.c.collection == ref.collection,
                dialogues.c.id == ref.dialogue_id,
            )
        )
    if content is None:
        raise NotFound(MISSING)
    specs = erasures_under_way(db, ref.tenant)
    left = scrub_all(Dialogue.model_validate_json(content), specs)
    if left is None:
        raise NotFound(MISSING)
    return left


def _grown(base: Dialogue, asked: AppendTurns) -> Dialogue:
    count = len(base.utterances)
    if asked.expected_turns is not None and asked.expected_turns != count:
        raise Conflict(f"the dialogue has {count} turns, not {asked.expected_turns}", turns=count)
    if count + len(asked.dialogue.utterances) > MAX_TURNS:
        raise at_place(
            Malformed, "body/utterances", f"a dialogue has at most {MAX_TURNS} turns, this {count}"
        )
    new = [
        turn.model_copy(update={"id": count + place})
        for place, turn in enumerate(asked.dialogue.utterances)
    ]
    return base.model_copy(update={"utterances": [*base.utterances, *new]})
