"""The embedding spaces of the profile, opened together."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from colloquy.contracts.operation import Check
from colloquy.contracts.retrieval import SpaceInfo, Spaces
from colloquy.engine.serving.opened import Opened
from colloquy.media.blobs import BlobReader
from colloquy.registry.store import CheckpointBroken, CheckpointMissing, Registry
from colloquy.sections import ClipSpace, TaskSpace
from colloquy.servicekit.problems import NotFound, ServiceError
from services.retriever.clip_space import ClipEncoder
from services.retriever.encoders import load_clip
from services.retriever.encoding import Encoder, Identity
from services.retriever.metrics import Metrics
from services.retriever.settings import Settings
from services.retriever.task_space import TaskEncoder

# Of an engine's places one is its probe's and one a query's; documents take the others.
_KEPT_FREE = 2


@dataclass(frozen=True, slots=True)
class OpenSpaces:
    """Encoders by the name of their space, and where their models may come from."""

    encoders: Mapping[str, Encoder]
    registry: Registry

    def __contains__(self, name: str) -> bool:
        return name in self.encoders

    def __getitem__(self, name: str) -> Encoder:
        return self.encoders[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.encoders)

    def find(self, name: str) -> Encoder:
        """By name, or by the revision that the space has now.

        Raises:
            NotFound: there is none.
        """
        for encoder in self.encoders.values():
            known = encoder.known
            if name == encoder.name or (known is not None and name == known.revision):
                return encoder
        raise NotFound("this installation has no such embedding space")

    def checks(self) -> list[Check]:
        return [encoder.check() for encoder in self.encoders.values()]

    async def described(self) -> Spaces:
        """Every space; one whose model was never there yet has no model and no dimensions."""
        infos = []
        for encoder in self.encoders.values():
            identity: Identity | None
            try:
                identity, ready = await encoder.identity(), encoder.check().ready
            except ServiceError:
                identity, ready = encoder.known, False
            infos.append(
                SpaceInfo(
                    name=encoder.name,
                    model=identity.revision if identity else "",
                    kind=encoder.kind,
                    dimensions=identity.dimensions if identity else 0,
                    ready=ready,
                    created=self._created_s(identity.revision) if identity else 0,
                )
            )
        return Spaces(spaces=infos)

    def _created_s(self, revision: str) -> int:
        try:
            checkpoint = self.registry.resolve(revision)
        except (CheckpointBroken, CheckpointMissing):  # a folder's or a hub's
            return 0
        return int(checkpoint.manifest.created.timestamp())


@asynccontextmanager
async def open_spaces(
    settings: Settings, opened: Opened, metrics: Metrics
) -> AsyncIterator[OpenSpaces]:
    """Begins to load what the retriever computes itself; waits for nothing."""
    blobs = BlobReader(settings.blobs, settings.blob_key.get_secret_value().encode())
    registry = Registry(settings.registry)
    tuning = settings.tuning.encoding
    encoders: dict[str, Encoder] = {}
    async with AsyncExitStack() as stack:
        for name, space in settings.spaces.items():
            if isinstance(space, ClipSpace):
                load = partial(load_clip, name, space, registry)
                clip = ClipEncoder(name, load, blobs, tuning, metrics)
                encoders[name] = await stack.enter_async_context(clip.running())
            elif isinstance(space, TaskSpace):
                engine = opened.engines[settings.tasks[space.task].engine]
                places = engine.settings.max_running - _KEPT_FREE
                encoders[name] = TaskEncoder(name, opened.models[space.task], places, tuning)
        yield OpenSpaces(encoders, registry)
