"""All the engines that a service asks, opened together: clients, queues, adapters, watches."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from colloquy.contracts.generation import TaskModel as TaskModelView
from colloquy.contracts.operation import Check
from colloquy.engine.client import EngineClient
from colloquy.engine.queue import EngineQueue
from colloquy.engine.serving.adapters import AdapterKeeper, Asks
from colloquy.engine.serving.ask import TaskModel
from colloquy.engine.serving.metrics import EngineMetrics
from colloquy.engine.serving.pictures import StoredPictures, WrittenPictures
from colloquy.engine.serving.readiness import EngineWatch
from colloquy.engine.serving.served import ServedEngine
from colloquy.engine.serving.settings import EngineBinding, EngineTuning
from colloquy.media.blobs import BlobReader
from colloquy.media.decoding import DecodePool
from colloquy.profile import Media, OpenAIEngine, Task, VllmEngine
from colloquy.registry.store import Registry
from colloquy.servicekit.problems import Unavailable

AskerOf = Callable[[EngineClient, Mapping[str, Task], WrittenPictures], Asks]
"""Makes what asks the probes of a checkpoint, in the words of its protocol."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service needs opened.

    Attributes:
        tasks: those the service serves, by name.
        registry: folders of checkpoints.
    """

    tasks: Mapping[str, Task]
    engines: Mapping[str, EngineBinding]
    registry: Sequence[Path]
    blobs: Path
    blob_key: SecretStr
    media: Media
    tuning: EngineTuning


@dataclass(frozen=True, slots=True)
class Opened:
    """Engines and the models of the tasks on them.

    Attributes:
        pictures: the tenants' own, at any size.
    """

    tasks: Mapping[str, Task]
    engines: Mapping[str, ServedEngine]
    models: Mapping[str, TaskModel]
    pictures: StoredPictures

    def checks(self) -> list[Check]:
        return [
            check
            for engine in self.engines.values()
            for check in (engine.watch.check(), *engine.adapters.checks())
        ]

    def served(self) -> list[TaskModelView]:
        """The tasks that can be asked now, and the version that does each."""
        views = []
        for name, task in self.tasks.items():
            engine = self.engines[task.engine]
            try:
                model = engine.model_of(name)
            except Unavailable:
                continue
            checkpoint = engine.adapters.checkpoint_of(name)
            created = int(checkpoint.manifest.created.timestamp()) if checkpoint else 0
            views.append(
                TaskModelView(
                    task=name,
                    model=model,
                    protocol=task.protocol,
                    engine=task.engine,
                    created=created,
                )
            )
        return views


@asynccontextmanager
async def open_engines(
    wanted: Wanted, metrics: EngineMetrics, asker_of: AskerOf
) -> AsyncIterator[Opened]:
    """Opens clients and decoders and begins to watch the engines; waits for none of them."""
    async with AsyncExitStack() as stack:
        media = wanted.media.model_copy(update={"workers": wanted.tuning.fit_workers})
        decoder = await stack.enter_async_context(DecodePool(media, eager=False))
        engines = {}
        for name, binding in wanted.engines.items():
            client = await stack.enter_async_context(_client(binding, wanted.tuning))
            engines[name] = _served(name, binding, client, wanted, decoder, metrics, asker_of)
        blobs = BlobReader(wanted.blobs, wanted.blob_key.get_secret_value().encode())
        pictures = StoredPictures(blobs, decoder)
        models = {
            name: TaskModel(name, task, engines[task.engine], pictures, metrics)
            for name, task in wanted.tasks.items()
        }
        watching = [asyncio.create_task(engine.watch.run()) for engine in engines.values()]
        stack.push_async_callback(_end, watching)
        yield Opened(wanted.tasks, engines, models, pictures)


def _client(binding: EngineBinding, tuning: EngineTuning) -> EngineClient:
    engine = binding.engine
    return EngineClient(
        binding.address,
        capabilities=engine.capabilities,
        api_key=binding.api_key,
        usual_start_s=tuning.usual_start_s,
        pools=isinstance(engine, VllmEngine) and engine.runner == "pooling",
    )


def _served(
    name: str,
    binding: EngineBinding,
    client: EngineClient,
    wanted: Wanted,
    decoder: DecodePool,
    metrics: EngineMetrics,
    asker_of: AskerOf,
) -> ServedEngine:
    tuning, engine = wanted.tuning, binding.engine
    tasks = {task: bound for task, bound in wanted.tasks.items() if bound.engine == name}
    asks = asker_of(client, tasks, WrittenPictures(decoder))
    adapters = AdapterKeeper(engine, tasks, client, Registry(list(wanted.registry)), asks)
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
