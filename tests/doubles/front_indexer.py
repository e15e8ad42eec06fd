"""An indexer that keeps everything in memory: real HTTP, contracts and hop secret, no ledger."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import APIRouter, FastAPI, Response

from colloquy.contracts.collections import (
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
from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import (
    AddItems,
    AppendTurns,
    DialogueRef,
    EraseTraces,
    JobRef,
    ListCollections,
    ListDialogues,
    ListJobs,
    OpenedJob,
    OpenJob,
    PutCollection,
    Reindex,
    SealJob,
)
from colloquy.contracts.operation import Check, Readiness
from colloquy.contracts.retrieval import CollectionRef, Done, SpaceState
from colloquy.servicekit.problems import (
    CollectionMissing,
    Conflict,
    NotFound,
    ServiceError,
    TooManyCollections,
)
from tests.doubles.front_retriever import DIMENSIONS, service

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class KeptJob:
    """A job; `state` is `receiving` until it is sealed."""

    id: str
    tenant: str
    collection: str | None
    kind: str
    key: str | None = None
    sha256: str = ""
    state: JobState = "receiving"
    items: dict[int, Dialogue] = field(default_factory=dict)
    errors: list[ItemError] = field(default_factory=list)
    receipt: dict[str, int] | None = None


@dataclass
class IndexerDouble:
    """What it keeps and what it does next. A dialogue can be read as soon as its job is sealed.

    Attributes:
        busy: a job is asked for so many times before it is done.
        failure: raised by whatever is called next, until it is taken away.
        fail_at: the only route that fails, where it is not all.
        overtaken: the next job goes before its items come, as where the same body is sent again.
    """

    collections: dict[tuple[str, str], CollectionSpec] = field(default_factory=dict)
    dialogues: dict[tuple[str, str, str], Dialogue] = field(default_factory=dict)
    jobs: dict[str, KeptJob] = field(default_factory=dict)
    batches: list[AddItems] = field(default_factory=list)
    busy: int = 0
    failure: ServiceError | None = None
    fail_at: str | None = None
    overtaken: bool = False
    ready: bool = True
    asked_for_jobs: int = 0

    def enter(self, route: str) -> None:
        if self.failure is not None and self.fail_at in (None, route):
            raise self.failure

    def spec(self, ref: CollectionRef) -> CollectionSpec:
        spec = self.collections.get((ref.tenant, ref.collection))
        if spec is None:
            raise CollectionMissing("there is no collection of that name")
        return spec

    def describe(self, ref: CollectionRef) -> Collection:
        spec = self.spec(ref)
        kept = [key for key in self.dialogues if key[:2] == (ref.tenant, ref.collection)]
        names = spec.spaces or ["clip"]
        return Collection(
            name=ref.collection,
            kind=spec.kind,
            spaces=[SpaceState(name=n, revision=f"{n}@1", dimensions=DIMENSIONS) for n in names],
            retention_days=spec.retention_days,
            dialogues=len(kept),
            fragments=len(kept),
            pending=0,
            created=NOW,
        )

    def new_job(self, tenant: str, collection: str | None, kind: str) -> KeptJob:
        job = KeptJob(f"job-{len(self.jobs)}", tenant, collection, kind)
        self.jobs[job.id] = job
        return job

    def ended(self, tenant: str, collection: str | None, kind: str) -> Job:
        job = self.new_job(tenant, collection, kind)
        job.state = "done"
        return self.show(job)

    def job(self, ref: JobRef) -> KeptJob:
        job = self.jobs.get(ref.job)
        if job is None or job.tenant != ref.tenant:
            raise NotFound("there is no such job")
        return job

    def of_key(self, asked: OpenJob | AppendTurns, kind: str) -> KeptJob | None:
        """The job that the key made, as the ledger finds it: one namespace for each tenant."""
        for job in self.jobs.values():
            if asked.idempotency_key and (job.tenant, job.key) == (
                asked.tenant,
                asked.idempotency_key,
            ):
                same = (asked.collection, kind, asked.body_sha256)
                if (job.collection, job.kind, job.sha256) != same:
                    raise Conflict("the idempotency key was used for another request")
                return job
        return None

    def open(self, asked: OpenJob) -> OpenedJob:
        self.spec(asked)
        earlier = self.of_key(asked, "ingest")
        if earlier is not None:
            if earlier.state != "receiving":
                return _opened(earlier, sealed=True)
            del self.jobs[earlier.id]
        job = self.new_job(asked.tenant, asked.collection, "ingest")
        job.key, job.sha256 = asked.idempotency_key, asked.body_sha256
        if self.overtaken:
            self.overtaken = False
            del self.jobs[job.id]
        return _opened(job, sealed=False)

    def add(self, asked: AddItems) -> None:
        job = self.job(JobRef(tenant=asked.tenant, job=asked.job))
        if job.state != "receiving":
            raise Conflict("the job is sealed")
        self.batches.append(asked)
        job.items |= {item.position: item.dialogue for item in asked.items}
        job.errors += asked.errors

    def seal(self, ref: JobRef) -> OpenedJob:
        job = self.job(ref)
        if job.state == "receiving":
            job.state = "running"
            for dialogue in job.items.values():
                assert dialogue.id is not None
                assert job.collection is not None
                self.dialogues[job.tenant, job.collection, dialogue.id] = dialogue
        return _opened(job, sealed=True)

    def read(self, ref: DialogueRef) -> Dialogue:
        self.spec(ref)
        dialogue = self.dialogues.get((ref.tenant, ref.collection, ref.dialogue_id))
        if dialogue is None:
            raise NotFound("there is no such dialogue")
        return dialogue

    def append(self, asked: AppendTurns) -> OpenedJob:
        self.spec(asked)
        earlier = self.of_key(asked, "append")
        if earlier is not None:
            return _opened(earlier, sealed=True)
        kept = self.read(
            DialogueRef(
                tenant=asked.tenant, collection=asked.collection, dialogue_id=asked.dialogue_id
            )
        )
        turns = len(kept.utterances)
        if asked.expected_turns not in (None, turns):
            raise Conflict(f"the dialogue has {turns} turns")
        more = [
            turn.model_copy(update={"id": turns + turn.id}) for turn in asked.dialogue.utterances
        ]
        longer = kept.model_copy(update={"utterances": [*kept.utterances, *more]})
        self.dialogues[asked.tenant, asked.collection, asked.dialogue_id] = longer
        job = self.new_job(asked.tenant, asked.collection, "append")
        job.key, job.sha256 = asked.idempotency_key, asked.body_sha256
        job.state, job.items = "done", {0: longer}
        return _opened(job, sealed=True)

    def progress(self, ref: JobRef) -> Job:
        job = self.job(ref)
        self.asked_for_jobs += 1
        if job.state == "running":
            self.busy -= 1
            if self.busy < 0:
                job.state = "done"
        return self.show(job)

    def show(self, job: KeptJob) -> Job:
        indexed = len(job.items) if job.state == "done" else 0
        return Job.model_validate(
            {
                "id": job.id,
                "kind": job.kind,
                "collection": job.collection,
                "state": job.state,
                "counts": JobCounts(
                    total=len(job.items) + len(job.errors), indexed=indexed, failed=len(job.errors)
                ),
                "errors": job.errors[:100],
                "receipt": job.receipt,
                "created": NOW,
                "updated": NOW,
            }
        )


def _opened(job: KeptJob, *, sealed: bool) -> OpenedJob:
    return OpenedJob(job=job.id, sealed=sealed, accepted=len(job.items), failed=len(job.errors))


def indexer_app(double: IndexerDouble, hop_secret: str) -> FastAPI:
    router = APIRouter()
    _collections(router, double)
    _jobs(router, double)
    _dialogues(router, double)

    @router.get("/readyz")
    async def ready(response: Response) -> Readiness:
        response.status_code = 200 if double.ready else 503
        return Readiness(
            ready=double.ready,
            checks=[Check(name=name, ready=double.ready) for name in ("ledger", "blobs")],
        )

    return service("indexer", router, hop_secret)


def _collections(router: APIRouter, double: IndexerDouble) -> None:
    @router.post("/v1/collections/put")
    async def put(asked: PutCollection) -> Collection:
        double.enter("put")
        others = {name for tenant, name in double.collections if tenant == asked.tenant}
        if len(others - {asked.collection}) >= (asked.max_collections or 1_000):
            raise TooManyCollections("there may be no more")
        double.collections.setdefault((asked.tenant, asked.collection), asked.spec)
        return double.describe(asked)

    @router.post("/v1/collections/get")
    async def get(asked: CollectionRef) -> Collection:
        double.enter("get")
        return double.describe(asked)

    @router.post("/v1/collections/list")
    async def listed(asked: ListCollections) -> CollectionList:
        double.enter("list")
        names = sorted(name for tenant, name in double.collections if tenant == asked.tenant)
        left = [name for name in names if name > (asked.cursor or "")]
        page = left[: asked.limit]
        return CollectionList(
            collections=[
                double.describe(CollectionRef(tenant=asked.tenant, collection=name))
                for name in page
            ],
            next=page[-1] if len(left) > len(page) else None,
        )

    @router.post("/v1/collections/drop")
    async def drop(asked: CollectionRef) -> Done:
        double.enter("drop")
        double.spec(asked)
        del double.collections[asked.tenant, asked.collection]
        for key in [*double.dialogues]:
            if key[:2] == (asked.tenant, asked.collection):
                del double.dialogues[key]
        return Done()

    @router.post("/v1/reindex")
    async def reindex(asked: Reindex) -> Job:
        double.enter("reindex")
        double.spec(asked)
        return double.ended(asked.tenant, asked.collection, "reindex")

    @router.post("/v1/erase")
    async def erase(asked: EraseTraces) -> Job:
        double.enter("erase")
        gone = 0
        for key, dialogue in [*double.dialogues.items()]:
            speakers = {turn.speaker for turn in dialogue.utterances}
            if key[0] == asked.tenant and asked.what.speaker in speakers:
                del double.dialogues[key]
                gone += 1
        job = double.new_job(asked.tenant, None, "erase")
        job.state, job.receipt = "done", {"dialogues": gone}
        return double.show(job)


def _jobs(router: APIRouter, double: IndexerDouble) -> None:
    @router.post("/v1/jobs/open")
    async def opened(asked: OpenJob) -> OpenedJob:
        double.enter("open")
        return double.open(asked)

    @router.post("/v1/jobs/items")
    async def items(asked: AddItems) -> Done:
        double.enter("items")
        double.add(asked)
        return Done()

    @router.post("/v1/jobs/seal")
    async def seal(asked: SealJob) -> OpenedJob:
        double.enter("seal")
        return double.seal(asked)

    @router.post("/v1/jobs/get")
    async def get(asked: JobRef) -> Job:
        double.enter("job")
        return double.progress(asked)

    @router.post("/v1/jobs/list")
    async def listed(asked: ListJobs) -> JobList:
        double.enter("jobs")
        mine = [job for job in double.jobs.values() if job.tenant == asked.tenant]
        return JobList(jobs=[double.show(job) for job in reversed(mine)][: asked.limit])

    @router.post("/v1/jobs/cancel")
    async def cancel(asked: JobRef) -> Job:
        double.enter("cancel")
        job = double.job(asked)
        if job.state != "done":
            job.state = "cancelled"
        return double.show(job)


def _dialogues(router: APIRouter, double: IndexerDouble) -> None:
    @router.post("/v1/dialogues/get")
    async def get(asked: DialogueRef) -> StoredDialogue:
        double.enter("dialogue")
        dialogue = double.read(asked)
        return StoredDialogue(
            dialogue=dialogue,
            revision=1,
            state="indexed",
            fragments=[[turn.id for turn in dialogue.utterances]],
            updated=NOW,
        )

    @router.post("/v1/dialogues/list")
    async def listed(asked: ListDialogues) -> DialogueList:
        double.enter("dialogues")
        double.spec(asked)
        mine = sorted(key[2] for key in double.dialogues if key[:2] == _key(asked))
        left = [identity for identity in mine if identity > (asked.cursor or "")]
        page = left[: asked.limit]
        return DialogueList(
            dialogues=[
                DialogueSummary(
                    id=identity,
                    turns=len(double.dialogues[*_key(asked), identity].utterances),
                    images=len(double.dialogues[*_key(asked), identity].images),
                    state="indexed",
                    updated=NOW,
                )
                for identity in page
            ],
            next=page[-1] if len(left) > len(page) else None,
        )

    @router.post("/v1/dialogues/delete")
    async def delete(asked: DialogueRef) -> Done:
        double.enter("delete")
        double.read(asked)
        del double.dialogues[*_key(asked), asked.dialogue_id]
        return Done()

    @router.post("/v1/dialogues/append")
    async def append(asked: AppendTurns) -> OpenedJob:
        double.enter("append")
        return double.append(asked)


def _key(ref: CollectionRef) -> tuple[str, str]:
    return ref.tenant, ref.collection
