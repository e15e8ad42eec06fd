"""Erasing a person: what waits is scrubbed where it lies, what is indexed gets an item each."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_, update

from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import EraseTraces
from services.indexer.domain import ERASE, PUT, content_of
from services.indexer.ledger.acceptance import add_work, next_number
from services.indexer.ledger.dialogues import URGENT
from services.indexer.ledger.jobs import PENDING, add_job
from services.indexer.ledger.releases import let_go
from services.indexer.ledger.runs import Run, go_on
from services.indexer.ledger.schema import dialogues, items, jobs
from services.indexer.scrub import Scrubbed, scrub

WAITING, INDEXED, REST, FORGET = "waiting", "indexed", "rest", "forget"
_PAGE = 200


def accept_erasure(db: Connection, asked: EraseTraces) -> str:
    """From now on it will be done; what is accepted later is not touched by it."""
    next_number(db)
    spec = asked.what.model_dump(mode="json", exclude_none=True)
    return add_job(
        db,
        tenant=asked.tenant,
        collection=None,
        kind="erase",
        phase=WAITING,
        spec=json.dumps(spec),
        receipt=json.dumps({"dialogues": 0, "utterances": 0, "images": 0, "fragments": 0}),
    )


def erasures_under_way(db: Connection, tenant: str) -> list[dict[str, Any]]:
    """What is being erased: turns must not come back by way of an addition to a dialogue."""
    rows = db.scalars(
        select(jobs.c.spec).where(
            jobs.c.tenant == tenant, jobs.c.kind == "erase", jobs.c.state.in_(PENDING)
        )
    )
    return [json.loads(spec) for spec in rows if spec]


def scrub_waiting(db: Connection, run: Run) -> None:
    """One page of what is accepted or being received, and is not indexed yet."""
    number = next_number(db)
    after = int(run.cursor or 0)
    rows = db.execute(
        select(items)
        .where(items.c.tenant == run.tenant, items.c.content.is_not(None), items.c.id > after)
        .order_by(items.c.id)
        .limit(_PAGE)
        .with_for_update()
    ).all()
    for row in rows:
        found = scrub(Dialogue.model_validate_json(row.content), run.spec)
        if found is None:
            continue
        _forget_request(db, row.tenant, row.collection, row.dialogue_id)
        if row.state == "running":  # it is in somebody's hands; this comes right after it
            _add_erasure(db, run, number, row.collection, row.dialogue_id)
        else:
            _scrub_in_place(db, run, row, found)
    if len(rows) < _PAGE:
        go_on(db, run, INDEXED)
    else:
        go_on(db, run, WAITING, str(rows[-1].id))


def find_indexed(db: Connection, run: Run) -> None:
    """One page of the tenant's dialogues; those with traces get an item."""
    number = next_number(db)
    collection, identity = json.loads(run.cursor) if run.cursor else ("", "")
    key = tuple_(dialogues.c.collection, dialogues.c.id)
    rows = db.execute(
        select(dialogues)
        .where(dialogues.c.tenant == run.tenant, key > tuple_(collection, identity))
        .order_by(dialogues.c.collection, dialogues.c.id)
        .limit(_PAGE)
    ).all()
    for row in rows:
        if scrub(Dialogue.model_validate_json(row.content), run.spec) is not None:
            _forget_request(db, row.tenant, row.collection, row.id)
            _add_erasure(db, run, number, row.collection, row.id)
    if len(rows) < _PAGE:
        go_on(db, run, REST)
    else:
        go_on(db, run, INDEXED, json.dumps([rows[-1].collection, rows[-1].id]))


def receipt_of(db: Connection, job: str) -> dict[str, int]:
    """What went, over all items of the job."""
    total: Counter[str] = Counter()
    base = db.scalar(select(jobs.c.receipt).where(jobs.c.id == job))
    total.update(json.loads(base or "{}"))
    for receipt in db.scalars(
        select(items.c.receipt).where(items.c.job == job, items.c.receipt.is_not(None))
    ):
        total.update(json.loads(receipt))
    return dict(total)


def _add_erasure(db: Connection, run: Run, number: int, collection: str, dialogue_id: str) -> None:
    add_work(
        db,
        accepted=number,
        tenant=run.tenant,
        collection=collection,
        dialogue_id=dialogue_id,
        action=ERASE,
        job=run.id,
        priority=URGENT,
    )


def _scrub_in_place(db: Connection, run: Run, row: Row[Any], found: Scrubbed) -> None:
    left = found.dialogue
    keep = left.images if left is not None else []
    let_go(db, row.tenant, row.blob_owner, discard=True, keep=keep)
    values: dict[str, Any] = {"content": None if left is None else content_of(left)}
    if left is None:
        values |= {"state": "cancelled", "blob_owner": None}
    db.execute(update(items).where(items.c.id == row.id).values(**values))
    went = {"dialogues": 1, "utterances": found.utterances, "images": found.images}
    _count(db, run.id, went)


def _count(db: Connection, job: str, went: Mapping[str, int]) -> None:
    total = Counter(json.loads(db.scalar(select(jobs.c.receipt).where(jobs.c.id == job)) or "{}"))
    total.update(went)
    db.execute(update(jobs).where(jobs.c.id == job).values(receipt=json.dumps(dict(total))))


def _forget_request(db: Connection, tenant: str, collection: str, dialogue_id: str) -> None:
    """The hash of a body is a trace of what it said."""
    brought = select(items.c.job).where(
        items.c.tenant == tenant,
        items.c.collection == collection,
        items.c.dialogue_id == dialogue_id,
        items.c.action == PUT,
        items.c.job.is_not(None),
    )
    db.execute(
        update(jobs)
        .where(jobs.c.id.in_(brought), jobs.c.state != "receiving")
        .values(idempotency_key=None, body_sha256=None)
    )
