"""A retriever that keeps fragments in memory: real HTTP, contracts and hop secret, no vectors.

`python -m tests.doubles.retriever unix:/path secret` serves one in a process of its own.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from colloquy.contracts.retrieval import (
    CollectionState,
    Counted,
    CountFragments,
    DeleteFragments,
    Done,
    FragmentFault,
    FragmentPage,
    FragmentRecord,
    OpenCollection,
    PromoteStaged,
    ScrollFragments,
    Selection,
    SpaceInfo,
    Spaces,
    SpaceState,
    StagedRef,
    Upserted,
    UpsertFragments,
)
from colloquy.servicekit.app import create_service
from colloquy.servicekit.problems import (
    CollectionMissing,
    Conflict,
    Malformed,
    ServiceError,
    Unavailable,
)
from colloquy.servicekit.serving import serve

Key = tuple[str, str, bool]
DIMENSIONS = 8


@dataclass
class Held:
    """A collection."""

    kind: str
    spaces: dict[str, str]
    fragments: dict[UUID, FragmentRecord] = field(default_factory=dict)


@dataclass
class RetrieverDouble:
    """What it holds, what it does next, and what it was asked.

    Attributes:
        models: the revision of each space of the installation.
        failure: raised instead of answering.
        refuses: why a fragment cannot be embedded; None where it can.
        is_away_for: upserts that are answered as if the service were away.
        hangs_on: upserts that never end.
        delay_s: of an upsert, before it is stored.
        upserted: how often each fragment was stored, by collection.
        calls: fragments in each call.
    """

    models: dict[str, str] = field(default_factory=lambda: {"clip": "clip@1"})
    failure: ServiceError | None = None
    refuses: Callable[[FragmentRecord], str | None] = lambda record: None
    is_away_for: Callable[[UpsertFragments], bool] = lambda body: False
    hangs_on: Callable[[UpsertFragments], bool] = lambda body: False
    delay_s: float = 0.0
    held: dict[Key, Held] = field(default_factory=dict)
    upserted: Counter[tuple[Key, UUID]] = field(default_factory=Counter)
    calls: list[int] = field(default_factory=list)

    def find(self, ref: StagedRef) -> Held:
        if self.failure is not None:
            raise self.failure
        held = self.held.get(_key(ref))
        if held is None:
            raise CollectionMissing
        return held

    def open(self, body: OpenCollection) -> CollectionState:
        if self.failure is not None:
            raise self.failure
        if any(name not in self.models for name in body.spaces):
            raise Malformed("there is no such space")
        spaces = {name: self.models[name] for name in body.spaces}
        held = self.held.setdefault(_key(body), Held(body.kind, spaces))
        if held.kind != body.kind or held.spaces.keys() != set(body.spaces):
            raise Conflict("the collection has another form")
        return self.state(body)

    def state(self, ref: StagedRef) -> CollectionState:
        held = self.find(ref)
        return CollectionState(
            collection=ref.collection,
            kind="documents" if held.kind == "documents" else "dialogues",
            spaces=[
                SpaceState(
                    name=name,
                    revision=revision,
                    dimensions=DIMENSIONS,
                    current=self.models.get(name) == revision,
                )
                for name, revision in held.spaces.items()
            ],
            fragments=len(held.fragments),
        )

    async def upsert(self, body: UpsertFragments) -> Upserted:
        held = self.find(body)
        if self.is_away_for(body):
            raise Unavailable
        if len({record.id for record in body.fragments}) != len(body.fragments):
            raise Malformed("a fragment is sent twice")
        if any(self.models.get(name) != revision for name, revision in held.spaces.items()):
            raise Conflict("a space has another model now")
        await asyncio.sleep(3_600 if self.hangs_on(body) else self.delay_s)
        held = self.find(body)  # it may have been dropped meanwhile
        self.calls.append(len(body.fragments))
        faults = []
        for record in body.fragments:
            why = self.refuses(record)
            if why is not None:
                faults.append(FragmentFault(id=record.id, why=why))
                continue
            held.fragments[record.id] = record
            self.upserted[_key(body), record.id] += 1
        return Upserted(stored=len(body.fragments) - len(faults), faults=faults, models=held.spaces)

    def delete(self, body: DeleteFragments) -> int:
        held = self.find(body)
        if body.selection == Selection():
            raise Malformed("it selects everything")
        gone = [record.id for record in self.selected(held, body.selection)]
        for identity in gone:
            del held.fragments[identity]
        return len(gone)

    def selected(self, held: Held, selection: Selection) -> list[FragmentRecord]:
        """By ids, dialogues, speakers and revisions: what services ask for."""
        chosen = list(held.fragments.values())
        if selection.ids is not None:
            chosen = [r for r in chosen if r.id in set(selection.ids)]
        if selection.before_revision is not None:
            chosen = [r for r in chosen if r.revision < selection.before_revision]
        if selection.filter is not None:
            if selection.filter.dialogue_id is not None:
                chosen = [r for r in chosen if r.dialogue_id in selection.filter.dialogue_id]
            if selection.filter.speaker is not None:
                speakers = set(selection.filter.speaker)
                chosen = [r for r in chosen if speakers & {u.speaker for u in r.utterances}]
        return chosen

    def promote(self, body: PromoteStaged) -> None:
        if self.failure is not None:
            raise self.failure
        staged = self.held.pop((body.tenant, body.collection, True), None)
        if staged is None:
            raise CollectionMissing
        self.held[body.tenant, body.collection, False] = staged

    def records(
        self, tenant: str, collection: str, *, staged: bool = False
    ) -> list[FragmentRecord]:
        """What is searched, in the order of dialogues and places."""
        held = self.held.get((tenant, collection, staged))
        found = held.fragments.values() if held is not None else []
        return sorted(found, key=lambda record: (record.dialogue_id, record.number))


def retriever_app(double: RetrieverDouble, hop_secret: str) -> FastAPI:
    router = APIRouter()
    _collections(router, double)
    _fragments(router, double)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_service(
        "retriever",
        routers=[router],
        lifespan=lifespan,
        registry=CollectorRegistry(),
        hop_secret=SecretStr(hop_secret),
        max_body_bytes=64 * 2**20,
    )


def _collections(router: APIRouter, double: RetrieverDouble) -> None:
    @router.post("/v1/collections/open")
    async def open_(body: OpenCollection) -> CollectionState:
        return double.open(body)

    @router.post("/v1/collections/state")
    async def state(body: StagedRef) -> CollectionState:
        return double.state(body)

    @router.post("/v1/collections/drop")
    async def drop(body: StagedRef) -> Done:
        double.find(body)
        del double.held[_key(body)]
        return Done()

    @router.post("/v1/collections/promote")
    async def promote(body: PromoteStaged) -> CollectionState:
        double.promote(body)
        return double.state(StagedRef(tenant=body.tenant, collection=body.collection))

    @router.get("/v1/spaces")
    async def spaces() -> Spaces:
        return Spaces(
            spaces=[
                SpaceInfo(
                    name=name, model=model, kind="open_clip", dimensions=DIMENSIONS, ready=True
                )
                for name, model in double.models.items()
            ]
        )


def _fragments(router: APIRouter, double: RetrieverDouble) -> None:
    @router.post("/v1/fragments/upsert")
    async def upsert(body: UpsertFragments) -> Upserted:
        return await double.upsert(body)

    @router.post("/v1/fragments/delete")
    async def delete(body: DeleteFragments) -> Counted:
        return Counted(count=double.delete(body))

    @router.post("/v1/fragments/count")
    async def count(body: CountFragments) -> Counted:
        return Counted(count=len(double.selected(double.find(body), body.selection)))

    @router.post("/v1/fragments/scroll")
    async def scroll(body: ScrollFragments) -> FragmentPage:
        chosen = sorted(
            double.selected(double.find(body), body.selection), key=lambda record: record.id
        )
        rest = [r for r in chosen if body.cursor is None or r.id >= body.cursor]
        following = rest[body.limit].id if len(rest) > body.limit else None
        return FragmentPage(fragments=rest[: body.limit], next=following)


def _key(ref: StagedRef) -> Key:
    return ref.tenant, ref.collection, ref.staged


if __name__ == "__main__":
    serve(retriever_app(RetrieverDouble(delay_s=0.02), sys.argv[2]), sys.argv[1])
