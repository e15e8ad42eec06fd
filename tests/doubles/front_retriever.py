"""A retriever that retrieves by shared words: real HTTP, contracts and hop secret, no vectors."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from colloquy.contracts.content import TextPart, Utterance
from colloquy.contracts.operation import Check, Readiness
from colloquy.contracts.retrieval import (
    Candidate,
    Embed,
    Embedded,
    FragmentRecord,
    Retrieve,
    Retrieved,
    SpaceInfo,
    Spaces,
)
from colloquy.servicekit.app import create_service
from colloquy.servicekit.problems import CollectionMissing, ServiceError

DIMENSIONS = 4
SPACE_MADE_S = 1_767_225_600


@dataclass
class RetrieverDouble:
    """What it keeps, what it does next, and what it was asked.

    A fragment's similarity is the share of the query's words that it holds; a picture as query
    finds the fragments that show it, with 1.

    Attributes:
        kept: fragments by tenant and collection.
        degraded: methods that it says it left out.
    """

    kept: dict[tuple[str, str], list[FragmentRecord]] = field(default_factory=dict)
    failure: ServiceError | None = None
    delay_s: float = 0.0
    degraded: list[str] = field(default_factory=list)
    ready: bool = True
    asked: list[Retrieve] = field(default_factory=list)
    embedded: list[Embed] = field(default_factory=list)

    def keep(
        self,
        dialogue_id: str,
        utterances: Sequence[Utterance],
        *,
        tenant: str = "local",
        collection: str = "family",
        number: int = 0,
        image_ids: Sequence[int] = (),
    ) -> FragmentRecord:
        name = f"{tenant}/{collection}/{dialogue_id}/{number}"
        record = FragmentRecord(
            id=uuid5(NAMESPACE_URL, name),
            dialogue_id=dialogue_id,
            number=number,
            revision=1,
            utterances=list(utterances),
            image_ids=list(image_ids),
        )
        self.kept.setdefault((tenant, collection), []).append(record)
        return record

    def find(self, question: Retrieve) -> Retrieved:
        records = self.kept.get((question.tenant, question.collection))
        if records is None:
            raise CollectionMissing("there is no collection of that name")
        wanted = question.selection.filter and question.selection.filter.dialogue_id
        scored = [
            (_similarity(record, question), record)
            for record in records
            if not wanted or record.dialogue_id in wanted
        ]
        scored.sort(key=lambda one: -one[0])
        return Retrieved(
            candidates=[
                Candidate(
                    fragment=record,
                    similarity=similarity,
                    score=1 / (60 + rank),
                    by_method=dict.fromkeys(question.methods or ("clip", "bm25"), similarity),
                )
                for rank, (similarity, record) in enumerate(scored[: question.limit], 1)
                if similarity > 0
            ],
            models={"clip": "clip@1"},
            degraded=self.degraded,
        )


def _similarity(record: FragmentRecord, question: Retrieve) -> float:
    shown = [image for turn in record.utterances for image in turn.images]
    if question.query_image is not None and question.query_image in shown:
        return 1.0
    text = " ".join(
        part.text for turn in record.utterances for part in turn.parts if isinstance(part, TextPart)
    )
    words = (question.query or "").lower().split()
    return sum(word in text.lower() for word in words) / len(words) if words else 0.0


def vector_of(content: object) -> list[float]:
    """The double's vector of a content: the same for the same content."""
    digest = hashlib.sha256(repr(content).encode()).digest()
    numbers = [digest[i] / 255 + 0.01 for i in range(DIMENSIONS)]
    length = sum(number**2 for number in numbers) ** 0.5
    return [number / length for number in numbers]


def retriever_app(double: RetrieverDouble, hop_secret: str) -> FastAPI:
    router = APIRouter()

    @router.post("/v1/retrieve")
    async def retrieve(question: Retrieve) -> Retrieved:
        double.asked.append(question)
        await asyncio.sleep(double.delay_s)
        if double.failure is not None:
            raise double.failure
        return double.find(question)

    @router.post("/v1/embed")
    async def embed(asked: Embed) -> Embedded:
        double.embedded.append(asked)
        if double.failure is not None:
            raise double.failure
        vectors = [vector_of((item.role, item.content)) for item in asked.items]
        return Embedded(vectors=vectors, model=f"{asked.space}@1", tokens=3 * len(vectors))

    @router.get("/v1/spaces")
    async def spaces() -> Spaces:
        return Spaces(
            spaces=[
                SpaceInfo(
                    name=name,
                    model=f"{name}@1",
                    kind="open_clip",
                    dimensions=DIMENSIONS,
                    ready=True,
                    created=SPACE_MADE_S,
                )
                for name in ("clip", "lamra")
            ]
        )

    @router.get("/readyz")
    async def ready(response: Response) -> Readiness:
        response.status_code = 200 if double.ready else 503
        return Readiness(ready=double.ready, checks=[Check(name="space clip", ready=double.ready)])

    return service("retriever", router, hop_secret)


def service(name: str, router: APIRouter, hop_secret: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_service(
        name,
        routers=[router],
        lifespan=lifespan,
        registry=CollectorRegistry(),
        hop_secret=SecretStr(hop_secret),
        max_body_bytes=64 * 2**20,
    )
