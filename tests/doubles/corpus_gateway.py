"""A gateway of collections as its clients see it: what is sent is kept, jobs end by themselves."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from colloquy.contracts.collections import (
    Accepted,
    Collection,
    CollectionList,
    CollectionSpec,
    Erase,
    ItemError,
    Job,
    JobCounts,
    JobList,
)
from colloquy.contracts.content import Dialogue
from colloquy.contracts.fragments import FragmentSearchRequest, FragmentSearchResponse
from colloquy.contracts.images import UploadedImage
from colloquy.contracts.retrieval import SpaceState
from colloquy.servicekit.testing import serve_in_thread

SPACES = ("clip", "lamra")


@dataclass
class CorpusGateway:
    """Attributes:
    bad: dialogue ids whose indexing fails; a reason each.
    refuse: answers to give instead, first to last: (path, status).
    broken_streams: event streams that break off before the job ends.
    """

    collections: dict[str, CollectionSpec] = field(default_factory=dict)
    dialogues: dict[str, dict[str, Dialogue]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    refuse: list[tuple[str, int]] = field(default_factory=list)
    broken_streams: int = 0
    bodies: list[bytes] = field(default_factory=list)
    searches: list[FragmentSearchRequest] = field(default_factory=list)
    erased: list[Erase] = field(default_factory=list)
    answer: Callable[[FragmentSearchRequest], FragmentSearchResponse] | None = None

    def empty(self) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(CorpusGateway(), one.name))

    def collection(self, name: str) -> Collection:
        spec = self.collections[name]
        kept = self.dialogues.get(name, {})
        return Collection(
            name=name,
            kind=spec.kind,
            spaces=[
                SpaceState(name=space, revision=f"{space}@1", dimensions=4)
                for space in spec.spaces or SPACES
            ],
            retention_days=spec.retention_days,
            dialogues=len(kept),
            fragments=len(kept),
            pending=0,
            created=datetime.now(UTC),
        )

    def new_job(self, kind: Any, collection: str | None, **more: Any) -> Job:
        counts = more.pop("counts", JobCounts(unchanged=0))
        job = Job(
            id=f"job-{len(self.jobs)}",
            kind=kind,
            collection=collection,
            state="done",
            counts=counts,
            errors=more.pop("errors", []),
            created=datetime.now(UTC),
            updated=datetime.now(UTC),
            **more,
        )
        self.jobs[job.id] = job
        return job

    def ingest(self, name: str, body: bytes, key: str | None) -> Job:
        if key is not None and key in self.keys:
            return self.jobs[self.keys[key]]
        self.bodies.append(body)
        kept = self.dialogues.setdefault(name, {})
        errors, indexed, unchanged = [], 0, 0
        lines = body.decode().splitlines()
        for item, line in enumerate(lines):
            dialogue = Dialogue.model_validate_json(line)
            assert dialogue.id is not None
            if dialogue.id in self.bad:
                errors.append(
                    ItemError(
                        item=item,
                        dialogue_id=dialogue.id,
                        at="utterances/0",
                        why=self.bad[dialogue.id],
                    )
                )
                continue
            indexed += 1
            unchanged += kept.get(dialogue.id) == dialogue
            kept[dialogue.id] = dialogue
        counts = JobCounts(
            total=len(lines), indexed=indexed, unchanged=unchanged, failed=len(errors)
        )
        job = self.new_job("ingest", name, counts=counts, errors=errors)
        if key is not None:
            self.keys[key] = job.id
        return job


def problem(status: int, title: str, **more: Any) -> JSONResponse:
    body = {"title": title, "detail": "", "status": status, "request_id": "r"} | more
    return JSONResponse(body, status, headers={"retry-after": "0"} if status in (429, 503) else {})


def app_of(double: CorpusGateway) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def refuse(request: Request, call_next: Any) -> Any:
        if double.refuse and request.url.path.endswith(double.refuse[0][0]):
            return problem(double.refuse.pop(0)[1], "No")
        return await call_next(request)

    @app.post("/v1/images")
    async def upload(request: Request) -> UploadedImage:
        data = await request.body()
        if data.startswith(b"bad"):
            return problem(422, "Not a picture")  # type: ignore[return-value]
        ref = f"blob:{hashlib.sha256(data).hexdigest()}"
        double.pictures[ref] = data
        return UploadedImage(
            ref=ref, media_type="image/png", width=1, height=1, bytes=len(data), request_id="r"
        )

    @app.put("/v1/collections/{name}")
    async def put(name: str, body: CollectionSpec) -> Collection:
        double.collections[name] = body
        return double.collection(name)

    @app.get("/v1/collections")
    async def listing(limit: int = 100, cursor: str | None = None) -> CollectionList:
        names = sorted(double.collections)
        start = int(cursor or 0)
        page = names[start : start + min(limit, 2)]  # small pages, so that paging is seen
        end = start + len(page)
        return CollectionList(
            collections=[double.collection(name) for name in page],
            next=str(end) if end < len(names) else None,
        )

    @app.get("/v1/collections/{name}")
    async def show(name: str) -> Collection:
        if name not in double.collections:
            return problem(404, "There is no such collection")  # type: ignore[return-value]
        return double.collection(name)

    @app.delete("/v1/collections/{name}", status_code=204)
    async def drop(name: str) -> None:
        del double.collections[name]
        double.dialogues.pop(name, None)

    @app.post("/v1/collections/{name}/dialogues", status_code=202)
    async def ingest(name: str, request: Request) -> Accepted:
        assert request.headers["content-type"] == "application/x-ndjson"
        job = double.ingest(name, await request.body(), request.headers.get("idempotency-key"))
        return Accepted(job=job.id, accepted=job.counts.total, request_id="r")

    @app.post("/v1/collections/{name}/reindex", status_code=202)
    async def reindex(name: str) -> Job:
        return double.new_job("reindex", name)

    @app.post("/v1/erase", status_code=202)
    async def erase(body: Erase) -> Job:
        double.erased.append(body)
        return double.new_job("erase", None, receipt={"dialogues": 2})

    @app.get("/v1/jobs")
    async def jobs(limit: int = 50, collection: str | None = None) -> JobList:
        found = [job for job in double.jobs.values() if collection in (None, job.collection)]
        return JobList(jobs=found[:limit])

    @app.get("/v1/jobs/{job}")
    async def one(job: str) -> Job:
        if job not in double.jobs:
            return problem(404, "There is no such job")  # type: ignore[return-value]
        # Under way as long as events are to be heard.
        state = "running" if double.broken_streams else "done"
        return double.jobs[job].model_copy(update={"state": state})

    @app.get("/v1/jobs/{job}/events")
    async def events(job: str) -> StreamingResponse:
        return StreamingResponse(_events(double, job), media_type="text/event-stream")

    @app.delete("/v1/jobs/{job}")
    async def cancel(job: str) -> Job:
        double.jobs[job] = double.jobs[job].model_copy(update={"state": "cancelled"})
        return double.jobs[job]

    @app.post("/v1/fragments/search")
    async def search(body: FragmentSearchRequest) -> FragmentSearchResponse:
        double.searches.append(body)
        assert double.answer is not None
        return double.answer(body)

    return app


async def _events(double: CorpusGateway, job: str) -> AsyncIterator[str]:
    state = double.jobs[job].model_dump(mode="json")
    yield ": here\n\n"
    yield f"event: progress\ndata: {json.dumps(state | {'state': 'running'})}\n\n"
    if double.broken_streams:
        double.broken_streams -= 1
        return
    yield f"event: progress\ndata: {json.dumps(state)}\n\n"


@contextmanager
def corpus_gateway() -> Iterator[tuple[str, CorpusGateway]]:
    double = CorpusGateway()
    with serve_in_thread(app_of(double)) as url:
        yield url, double
