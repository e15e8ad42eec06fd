"""How a job goes on, as server-sent events."""

import asyncio
import time
from collections.abc import AsyncGenerator

from colloquy.contracts.collections import FINAL, Job
from colloquy.contracts.indexing import JobRef
from colloquy.contracts.problem import Problem
from colloquy.servicekit.context import request_id
from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import PROBLEM_BASE, ServiceError
from gateway.indexer import Indexer

ASK_EVERY_S = 0.5
KEEP_ALIVE_S = 15.0
_ENDING_S = 1.0


async def progress_of(indexer: Indexer, ref: JobRef) -> AsyncGenerator[str]:
    """`progress` at first and whenever the job changed, `done` at its end, comments in between so
    that nobody on the way takes the connection for dead.

    Raises:
        ServiceError: there is no such job, or it cannot be asked for; later this is an event.
    """
    job = await indexer.job(ref)
    yield _event(job)
    told_s = time.monotonic()
    while job.state not in FINAL and _may_go_on():
        await asyncio.sleep(ASK_EVERY_S)
        try:
            now = await indexer.job(ref)
        except ServiceError as error:
            yield _problem(error)
            return
        if _changed(job, now):
            job = now
            yield _event(job)
            told_s = time.monotonic()
        elif time.monotonic() - told_s >= KEEP_ALIVE_S:
            yield ": still there\n\n"
            told_s = time.monotonic()


def _event(job: Job) -> str:
    name = "done" if job.state in FINAL else "progress"
    return f"event: {name}\ndata: {job.model_dump_json()}\n\n"


def _problem(error: ServiceError) -> str:
    problem = Problem(
        type=PROBLEM_BASE + error.slug,
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance="",
        request_id=request_id(),
    )
    return f"event: problem\ndata: {problem.model_dump_json(exclude_none=True)}\n\n"


def _changed(before: Job, now: Job) -> bool:
    return (before.state, before.counts, before.receipt) != (now.state, now.counts, now.receipt)


def _may_go_on() -> bool:
    deadline = current_deadline()
    return deadline is None or deadline.left_s() > _ENDING_S
