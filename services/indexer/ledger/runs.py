"""Jobs that are done step by step: erasures and reindexes. A step ends in one transaction."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select, update

from services.indexer.ledger.database import now_s
from services.indexer.ledger.jobs import CANCELLING, UNDER_WAY
from services.indexer.ledger.schema import jobs


@dataclass(frozen=True, slots=True)
class Run:
    """A job whose next step is ours.

    Attributes:
        phase: what the next step is.
        cursor: how far the phase is.
    """

    id: str
    tenant: str
    collection: str | None
    kind: str
    phase: str
    cursor: str | None
    spec: dict[str, Any]


def take_run(db: Connection, owner: str, lease_s: float) -> Run | None:
    """The next job that has a step to do now, held for one step."""
    now = now_s(db)
    row = db.execute(
        select(jobs)
        .where(
            jobs.c.state.in_(UNDER_WAY),
            jobs.c.phase != "",
            jobs.c.not_before <= now,
            or_(jobs.c.lease_until.is_(None), jobs.c.lease_until < now),
        )
        .order_by(jobs.c.not_before, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    db.execute(
        update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            lease_owner=owner,
            lease_until=now + lease_s,
            state=row.state if row.state == CANCELLING else "running",
            started=row.started if row.started is not None else now,
        )
    )
    spec = json.loads(row.spec) if row.spec else {}
    return Run(row.id, row.tenant, row.collection, row.kind, row.phase, row.cursor, spec)


def go_on(db: Connection, run: Run, phase: str, cursor: str | None = None) -> None:
    """Ends a step: the next one is `phase`. A job that was cancelled meanwhile keeps its own."""
    db.execute(
        update(jobs)
        .where(jobs.c.id == run.id, jobs.c.phase == run.phase)
        .values(phase=phase, cursor=cursor, updated=now_s(db))
    )


def put_down(db: Connection, run: Run, owner: str, wait_s: float = 0.0) -> None:
    """Lets go of a job until its next step, at the earliest after `wait_s`."""
    db.execute(
        update(jobs)
        .where(jobs.c.id == run.id, jobs.c.lease_owner == owner)
        .values(lease_owner=None, lease_until=None, not_before=now_s(db) + wait_s)
    )
