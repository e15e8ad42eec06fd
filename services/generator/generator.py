"""The generator as a whole: its engines, its tasks, and whether they are ready."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from colloquy.contracts.generation import TaskModels
from colloquy.contracts.operation import Readiness
from colloquy.engine.serving.opened import Opened, Wanted, open_engines
from services.generator import retrieve_fragment, split_dialogue
from services.generator.metrics import Metrics
from services.generator.probing import ProbeAsker
from services.generator.retrieve_fragment import RetrieveFragment
from services.generator.settings import Settings
from services.generator.split_dialogue import SplitDialogue


@dataclass(frozen=True, slots=True)
class Generator:
    """What the routes reach; a use case is None where the profile lacks its task."""

    opened: Opened
    retrieve_fragment: RetrieveFragment | None
    split_dialogue: SplitDialogue | None

    def readiness(self) -> Readiness:
        checks = self.opened.checks()
        return Readiness(ready=all(check.ready for check in checks), checks=checks)

    def tasks(self) -> TaskModels:
        return TaskModels(tasks=self.opened.served())


@asynccontextmanager
async def open_generator(settings: Settings, metrics: Metrics) -> AsyncIterator[Generator]:
    """Opens clients and decoders and begins to watch the engines; waits for none of them."""
    wanted = Wanted(
        tasks=settings.tasks,
        engines=settings.engines,
        registry=settings.registry,
        blobs=settings.blobs,
        blob_key=settings.blob_key,
        media=settings.media,
        tuning=settings.tuning,
    )
    async with open_engines(wanted, metrics, ProbeAsker) as opened:
        fragment = opened.models.get(retrieve_fragment.TASK)
        split = opened.models.get(split_dialogue.TASK)
        yield Generator(
            opened,
            RetrieveFragment(fragment, settings.tuning, metrics) if fragment else None,
            SplitDialogue(split, metrics) if split else None,
        )
