"""Collections, jobs and search in memory, in the words of the contracts: for tests of the page.

Every reply is dumped from its contract, and every request is validated by it, so that what the page
reads and writes here is what the gateway speaks. A job goes on only as a test lets it.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from pydantic import ValidationError

from colloquy.contracts.collections import (
    FINAL,
    Accepted,
    Collection,
    CollectionList,
    CollectionSpec,
    DialogueList,
    DialogueSummary,
    ItemError,
    Job,
    JobCounts,
    JobList,
    JobState,
    StoredDialogue,
)
from colloquy.contracts.content import Dialogue, ImagePart, TextPart, Utterance
from colloquy.contracts.fragments import (
    FragmentSearchRequest,
    FragmentSearchResponse,
)
from colloquy.contracts.retrieval import SpaceState
from tests.doubles.page_items import Refused, read_items
from tests.doubles.page_search import Kept, found_in, lets_through

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
Request = TypeVar("Request", CollectionSpec, FragmentSearchRequest)


@dataclass
class _Collection:
    spec: CollectionSpec
    created: datetime
    dialogues: dict[str, Kept] = field(default_factory=dict)


@dataclass
class _Work:
    job: Job
    waiting: list[str]


class CorpusDouble:
    """What the stand-in gateway keeps.

    Attributes:
        at_once: jobs end as soon as they are accepted; otherwise `work` does a part of them.
        cut_streams: so many event streams end before their job does.
        degraded: what the next searches say they left out.
        received: content type and key of each ingestion.
    """

    def __init__(self) -> None:
        self.at_once = True
        self.cut_streams = 0
        self.degraded: list[str] = []
        self.received: list[tuple[str, str | None]] = []
        self.searched: list[dict[str, Any]] = []
        self.collections: dict[str, _Collection] = {}
        self.blobs: dict[str, str] = {}
        self._work: dict[str, _Work] = {}
        self._keys: dict[str, tuple[bytes, Accepted]] = {}
        self._changed = threading.Condition()
        self._numbers = count(1)

    # Collections

    def put(self, name: str, body: dict[str, Any]) -> Collection:
        spec = _read(CollectionSpec, body)
        now = START + timedelta(minutes=next(self._numbers))
        self.collections.setdefault(name, _Collection(spec, now))
        return self.get(name)

    def get(self, name: str) -> Collection:
        kept = self._collection(name)
        indexed = [one for one in kept.dialogues.values() if one.state == "indexed"]
        return Collection(
            name=name,
            kind=kept.spec.kind,
            spaces=[
                SpaceState(name="clip", revision="clip@1", dimensions=64),
                SpaceState(name="bm25", revision="bm25@1", dimensions=0),
            ],
            retention_days=kept.spec.retention_days,
            dialogues=len(indexed),
            fragments=sum(len(one.fragments) for one in indexed),
            pending=sum(one.state == "queued" for one in kept.dialogues.values()),
            created=kept.created,
        )

    def listed(self, limit: int, cursor: str | None) -> CollectionList:
        names, after = _page(sorted(self.collections), limit, cursor)
        return CollectionList(collections=[self.get(name) for name in names], next=after)

    def drop(self, name: str) -> None:
        self._collection(name)
        del self.collections[name]

    def _collection(self, name: str) -> _Collection:
        if name not in self.collections:
            raise Refused(404, "collection-missing", "No such collection", "It is not there.")
        return self.collections[name]

    # Dialogues

    def dialogues(self, name: str, limit: int, cursor: str | None) -> DialogueList:
        kept = self._collection(name).dialogues
        ids, after = _page(sorted(kept), limit, cursor)
        return DialogueList(
            dialogues=[
                DialogueSummary(
                    id=one,
                    turns=len(kept[one].dialogue.utterances),
                    images=len(kept[one].dialogue.images),
                    state=kept[one].state,
                    updated=kept[one].updated,
                )
                for one in ids
            ],
            next=after,
        )

    def dialogue(self, name: str, dialogue_id: str) -> StoredDialogue:
        kept = self._kept(name, dialogue_id)
        return StoredDialogue(
            dialogue=kept.dialogue,
            revision=kept.revision,
            state=kept.state,
            fragments=kept.fragments if kept.state == "indexed" else [],
            updated=kept.updated,
            request_id="req-of-a-dialogue",
        )

    def delete(self, name: str, dialogue_id: str) -> None:
        self._kept(name, dialogue_id)
        del self.collections[name].dialogues[dialogue_id]

    def _kept(self, name: str, dialogue_id: str) -> Kept:
        kept = self._collection(name).dialogues.get(dialogue_id)
        if kept is None:
            raise Refused(404, "dialogue-missing", "No such dialogue", "It is not there.")
        return kept

    # Ingestion and jobs

    def ingest(self, name: str, body: bytes, media_type: str, key: str | None) -> Accepted:
        collection = self._collection(name)
        self.received.append((media_type, key))
        if key is not None and key in self._keys:
            before, accepted = self._keys[key]
            if before != body:
                raise Refused(409, "key-reused", "The key was used", "With another body.")
            return accepted
        good, errors = read_items(body, media_type)
        if not good:
            faults = [{"at": f"body/{one.item}/{one.at}", "why": one.why} for one in errors]
            raise Refused(422, "invalid-request", "Not valid", "No item can be taken.", faults)
        counts = JobCounts(total=len(good) + len(errors), failed=len(errors))
        job = self._job(name, counts, errors[:100])
        for dialogue in good:
            self._keep(collection, dialogue, job.created)
        ids = [str(dialogue.id) for dialogue in good]
        self._work[job.id] = _Work(job, ids)
        accepted = Accepted(
            job=job.id, accepted=len(good), failed=len(errors), request_id="req-of-an-ingestion"
        )
        if key is not None:
            self._keys[key] = (body, accepted)
        if self.at_once:
            self.work(job.id, len(ids))
        return accepted

    def _job(self, name: str, counts: JobCounts, errors: list[ItemError]) -> Job:
        number = next(self._numbers)
        now = START + timedelta(minutes=number)
        return Job(
            id=f"job-{number}",
            kind="ingest",
            collection=name,
            state="queued",
            counts=counts,
            errors=errors,
            created=now,
            updated=now,
        )

    def _keep(self, collection: _Collection, dialogue: Dialogue, now: datetime) -> None:
        stored = dialogue.model_copy(
            update={"utterances": [self._with_blobs(turn) for turn in dialogue.utterances]}
        )
        before = collection.dialogues.get(str(dialogue.id))
        revision = before.revision + 1 if before else 1
        collection.dialogues[str(dialogue.id)] = Kept(stored, "queued", revision, now)

    def _with_blobs(self, turn: Utterance) -> Utterance:
        if isinstance(turn.content, str):
            return turn
        parts: list[TextPart | ImagePart] = []
        for part in turn.content:
            if isinstance(part, ImagePart) and part.image_url.url.startswith("data:"):
                ref = "blob:" + hashlib.sha256(part.image_url.url.encode()).hexdigest()
                self.blobs[ref] = part.image_url.url
                parts.append(ImagePart.of(ref))
            else:
                parts.append(part)
        return turn.model_copy(update={"content": parts})

    def work(self, job_id: str, items: int) -> None:
        """Indexes the next items of a job; with the last one it is done."""
        with self._changed:
            work = self._work[job_id]
            kept = self.collections[str(work.job.collection)].dialogues
            done, work.waiting = work.waiting[:items], work.waiting[items:]
            for one in done:
                kept[one].state = "indexed"
            counts = work.job.counts.model_copy(
                update={"indexed": work.job.counts.indexed + len(done)}
            )
            state: JobState = "running" if work.waiting else "done"
            eta = 2.0 * len(work.waiting) if work.waiting else None
            self._change(work, counts=counts, state=state, eta_s=eta)

    def cancel(self, job_id: str) -> Job:
        with self._changed:
            work = self._of(job_id)
            if work.job.state in FINAL:
                return work.job
            kept = self.collections[str(work.job.collection)].dialogues
            for one in work.waiting:
                del kept[one]
            counts = work.job.counts.model_copy(update={"cancelled": len(work.waiting)})
            work.waiting = []
            self._change(work, counts=counts, state="cancelled", eta_s=None)
            return work.job

    def _change(self, work: _Work, **changes: Any) -> None:
        work.job = work.job.model_copy(update=changes)
        self._changed.notify_all()

    def job(self, job_id: str) -> Job:
        return self._of(job_id).job

    def jobs(self, collection: str | None) -> JobList:
        jobs = [work.job for work in self._work.values()]
        return JobList(jobs=[one for one in jobs if collection in (None, one.collection)])

    def unfinished(self) -> str:
        """The one job that is not over."""
        [job] = [work.job.id for work in self._work.values() if work.job.state not in FINAL]
        return job

    def _of(self, job_id: str) -> _Work:
        if job_id not in self._work:
            raise Refused(404, "job-missing", "No such job", "It is not there.")
        return self._work[job_id]

    def events(self, job_id: str) -> Iterator[tuple[str, Job]]:
        """Each step of a job as it comes, the one it has reached first; `done` ends it."""
        seen = self._of(job_id).job
        cut = self.cut_streams > 0
        self.cut_streams -= 1 if cut else 0
        yield ("done" if seen.state in FINAL else "progress", seen)
        while seen.state not in FINAL and not cut:
            after = self._next_step(job_id, seen)
            if after is None:
                return
            seen = after
            yield ("done" if seen.state in FINAL else "progress", seen)

    def _next_step(self, job_id: str, last: Job) -> Job | None:
        with self._changed:
            moved = self._changed.wait_for(lambda: self._of(job_id).job is not last, 20)
            return self._of(job_id).job if moved else None

    # Search

    def search(self, body: dict[str, Any]) -> FragmentSearchResponse:
        """Fragments that share words with the query; a picture finds every fragment with one."""
        self.searched.append(body)
        request = _read(FragmentSearchRequest, body)
        collection = self._collection(str(request.collection))
        found = [
            fragment
            for dialogue_id, kept in collection.dialogues.items()
            if kept.state == "indexed" and lets_through(request.filter, dialogue_id, kept)
            for fragment in found_in(dialogue_id, kept, request)
        ]
        found.sort(key=lambda one: -(one.scores.final or 0.0))
        return FragmentSearchResponse(
            fragments=found[: request.top_k],
            degraded=self.degraded,
            models={"embed": "clip@1", "rank": "rank@1", "fragment": "fragment@1"},
            timings_ms={"retrieve": 3.1, "rerank": 40.2, "refine": 120.9, "total": 166.0},
            request_id="req-of-a-search",
        )


def _read(contract: type[Request], body: dict[str, Any]) -> Request:
    try:
        return contract.model_validate_json(json.dumps(body))
    except ValidationError as error:
        faults = _faults_of(error)
        title = "The request is not valid"
        raise Refused(422, "invalid-request", title, faults[0]["why"], faults) from None


def _faults_of(error: ValidationError) -> list[dict[str, str]]:
    return [
        {"at": "/".join(("body", *map(str, fault["loc"]))), "why": fault["msg"]}
        for fault in error.errors()
    ]


def _page(names: list[str], limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    rest = [name for name in names if cursor is None or name > cursor]
    page = rest[:limit]
    return page, page[-1] if len(rest) > limit else None
