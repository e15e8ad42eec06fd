"""The generator as a whole: its engines, its tasks, and whether they are ready."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from colloquy.contracts.generation import TaskModel as TaskModelView
from colloquy.contracts.generation import TaskModels
from colloquy.contracts.operation import Readiness
from colloquy.engine.client import EngineClient
from colloquy.engine.queue import EngineQueue
from colloquy.media.blobs import BlobReader
from colloquy.media.decoding import DecodePool
from colloquy.profile import OpenAIEngine
from colloquy.registry.store import Registry
from colloquy.servicekit.problems import Unavailable
from services.generator import retrieve_fragment, split_dialogue
from services.generator.adapters import AdapterKeeper
from services.generator.ask import TaskModel
from services.generator.engines import ServedEngine
from services.generator.metrics import Metrics
from services.generator.pictures import StoredPictures, WrittenPictures
from services.generator.probing import ProbeAsker
from services.generator.readiness import EngineWatch
from services.generator.retrieve_fragment import RetrieveFragment
from services.generator.settings import EngineBinding, Settings
from services.generator.split_dialogue import SplitDialogue


@dataclass(frozen=True, slots=True)
class Generator:
    """What the routes reach; a use case is None where the profile lacks its task."""

    settings: Settings
    engines: dict[str, ServedEngine]
    retrieve_fragment: RetrieveFragment | None
    split_dialogue: SplitDialogue | None

    def readiness(self) -> Readiness:
        checks = [
            check
            for engine in self.engines.values()
            for check in (engine.watch.check(), *engine.adapters.checks())
        ]
        return Readiness(ready=all(check.ready for check in checks), checks=checks)

    def tasks(self) -> TaskModels:
        served = []
        for name, task in self.settings.tasks.items():
            engine = self.engines[task.engine]
            try:
                model = engine.model_of(name)
            except Unavailable:
                continue
            checkpoint = engine.adapters.checkpoint_of(name)
            created = int(checkpoint.manifest.created.timestamp()) if checkpoint else 0
            served.append(
                TaskModelView(
                    task=name,
                    model=model,
                    protocol=task.protocol,
                    engine=task.engine,
                    created=created,
                )
            )
        return TaskModels(tasks=served)


@asynccontextmanager
async def open_generator(settings: Settings, metrics: Metrics) -> AsyncIterator[Generator]:
    """Opens clients and decoders and begins to watch the engines; waits for none of them."""
    async with AsyncExitStack() as stack:
        media = settings.media.model_copy(update={"workers": settings.tuning.fit_workers})
        decoder = await stack.enter_async_context(DecodePool(media, eager=False))
        engines = {
            name: await _open_engine(stack, settings, name, binding, decoder, metrics)
            for name, binding in settings.engines.items()
        }
        blobs = BlobReader(settings.blobs, settings.blob_key.get_secret_value().encode())
        pictures = StoredPictures(blobs, decoder)
        models = {
            name: TaskModel(name, task, engines[task.engine], pictures, metrics)
            for name, task in settings.tasks.items()
        }
        fragment = models.get(retrieve_fragment.TASK)
        split = models.get(split_dialogue.TASK)
        watching = [asyncio.create_task(engine.watch.run()) for engine in engines.values()]
        stack.push_async_callback(_end, watching)
        yield Generator(
            settings,
            engines,
            RetrieveFragment(fragment, settings.tuning, metrics) if fragment else None,
            SplitDialogue(split, metrics) if split else None,
        )


async def _open_engine(
    stack: AsyncExitStack,
    settings: Settings,
    name: str,
    binding: EngineBinding,
    decoder: DecodePool,
    metrics: Metrics,
) -> ServedEngine:
    tuning, engine = settings.tuning, binding.engine
    client = await stack.enter_async_context(
        EngineClient(
            binding.address,
            capabilities=engine.capabilities,
            api_key=binding.api_key,
            usual_start_s=tuning.usual_start_s,
        )
    )
    tasks = {task: bound for task, bound in settings.tasks.items() if bound.engine == name}
    asks = ProbeAsker(client, tasks, WrittenPictures(decoder))
    adapters = AdapterKeeper(engine, tasks, client, Registry(settings.registry), asks)
    foreign = isinstance(engine, OpenAIEngine)
    watch = EngineWatch(
        name,
        engine.model,
        client,
        adapters,
        every_s=tuning.foreign_probe_every_s if foreign else tuning.probe_every_s,
        timeout_s=tuning.probe_timeout_s,
        stuck_after_s=tuning.stuck_after_s,
        changed=lambda ready: metrics.ready.labels(name).set(ready),
    )
    queue = EngineQueue(engine.max_running, engine.max_waiting)
    metrics.watch(name, queue)
    return ServedEngine(name, engine, client, queue, adapters, watch)


async def _end(watching: Sequence["asyncio.Task[None]"]) -> None:
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
