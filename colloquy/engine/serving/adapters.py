"""The life of the adapters of one engine: found, verified, loaded, probed, and only then used."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from colloquy.contracts.operation import Check
from colloquy.engine.client import EngineClient
from colloquy.engine.requests import EngineModel
from colloquy.profile import Engine, Task, VllmEngine
from colloquy.registry.adapters import check_adapter
from colloquy.registry.manifest import AnyProbe
from colloquy.registry.store import Checkpoint, CheckpointBroken, CheckpointMissing, Registry
from colloquy.servicekit.problems import ServiceError, Unavailable, UpstreamFailed

_log = logging.getLogger("engine.adapters")
_ASK_AGAIN_S = 5
_TRY_AGAIN_S = 30.0
Asks = Callable[[str, str, AnyProbe], Awaitable[bool]]
"""Asks (task, model, probe) and says whether the answer is the recorded one."""


class AdapterRefused(Exception):
    """An adapter that will not be used; the message is one line for operators."""


@dataclass(slots=True)
class _Place:
    """What serves a task: `model` is None until it may be asked."""

    binding: Task
    model: str | None = None
    checkpoint: Checkpoint | None = None
    problem: str | None = "not loaded yet"
    tried_at: float = float("-inf")


class AdapterKeeper:
    """Loads what the tasks of one engine need.

    vLLM has traps here. With every slot of its adapter table taken, it answers requests for the
    base with an adapter when both are in one batch; a slot stays taken when its adapter is
    unloaded. So nothing is unloaded, the engine's own list stays an honest count of taken slots,
    and on an engine that serves the base too the last slot is never given away. And its prefix
    cache knows adapters by name, so one name never gets other content.

    Args:
        tasks: that are bound to this engine.
        asks: asks a probe's question, past the queue.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Mapping[str, Task],
        client: EngineClient,
        registry: Registry,
        asks: Asks,
    ) -> None:
        self._engine = engine
        self._places = {name: _Place(binding) for name, binding in tasks.items()}
        self._client = client
        self._registry = registry
        self._asks = asks

    def model_of(self, task: str) -> str:
        """The engine's name of the task's model.

        Raises:
            Unavailable: it is not loaded and probed.
        """
        model = self._places[task].model
        if model is None:
            raise Unavailable(f"the model of `{task}` is not loaded", retry_after_s=_ASK_AGAIN_S)
        return model

    def checkpoint_of(self, task: str) -> Checkpoint | None:
        return self._places[task].checkpoint

    def checks(self) -> list[Check]:
        return [
            Check(name=f"task:{task}", ready=place.model is not None, detail=place.problem)
            for task, place in self._places.items()
        ]

    @property
    def incomplete(self) -> bool:
        """A task has no model, and it is time to try again."""
        return any(
            place.model is None and monotonic() - place.tried_at > _TRY_AGAIN_S
            for place in self._places.values()
        )

    def forget(self) -> None:
        """The engine may have been restarted: nothing is known to be loaded."""
        for place in self._places.values():
            place.model, place.problem = None, "the engine is down"
            place.tried_at = float("-inf")

    async def bring(self) -> None:
        """Makes every task's model ready, as far as its checkpoint is good.

        Raises:
            ServiceError: the engine fails; what is wrong with a checkpoint is kept for `checks`.
        """
        listed = {model.name: model for model in await self._client.models()}
        if isinstance(self._engine, VllmEngine) and self._engine.model not in listed:
            raise UpstreamFailed("the engine serves another model than the profile says")
        for task, place in self._places.items():
            if place.model is not None:
                continue
            place.tried_at = monotonic()
            try:
                place.model = await self._ready(task, place, listed)
                place.problem = None
                _log.info("model ready", extra={"facts": {"task": task, "model": place.model}})
            except (CheckpointMissing, CheckpointBroken, AdapterRefused) as error:
                place.problem = str(error)
                _log.error("model refused", extra={"facts": {"task": task, "why": str(error)}})

    async def _ready(self, task: str, place: _Place, listed: dict[str, EngineModel]) -> str:
        if place.binding.checkpoint is None:
            place.checkpoint = None
            return self._engine.model
        assert isinstance(self._engine, VllmEngine)
        adapter = await asyncio.to_thread(self._verified, place.binding.checkpoint)
        if adapter.manifest.protocol != place.binding.protocol:
            raise AdapterRefused(
                f"{adapter.name}: speaks `{adapter.manifest.protocol}`, "
                f"and the task `{place.binding.protocol}`"
            )
        await self._load(adapter, listed)
        await self._probe(task, adapter)
        place.checkpoint = adapter
        return adapter.name

    def _verified(self, name: str) -> Checkpoint:
        """Blocking: reads every byte of the checkpoint."""
        assert isinstance(self._engine, VllmEngine)
        adapter = self._registry.resolve(name)
        self._registry.verify(adapter)
        # A name with a slash is a folder or a hub's: its weights are not in the registry.
        model = self._engine.model
        base = None if "/" in model else self._registry.resolve(model)
        check_adapter(adapter, base, max_rank=self._engine.max_lora_rank)
        return adapter

    async def _load(self, adapter: Checkpoint, listed: dict[str, EngineModel]) -> None:
        folder = str(adapter.folder.resolve())
        loaded = listed.get(adapter.name)
        if loaded is not None:
            if loaded.root != folder:
                raise AdapterRefused(
                    f"{adapter.name}: the engine has it from another folder; restart the engine"
                )
            return
        taken = sum(model.parent is not None for model in listed.values())
        if taken >= self._engine.max_adapters and self._serves_base:
            raise AdapterRefused(
                f"{adapter.name}: the engine's adapter table has no slot left beside the base; "
                "raise `max_adapters` or restart the engine"
            )
        try:
            await self._client.load_adapter(adapter.name, folder)
        except UpstreamFailed as error:
            raise AdapterRefused(f"{adapter.name}: the engine cannot load it") from error
        listed[adapter.name] = EngineModel(adapter.name, folder, self._engine.model, None)

    @property
    def _serves_base(self) -> bool:
        return any(place.binding.checkpoint is None for place in self._places.values())

    async def _probe(self, task: str, adapter: Checkpoint) -> None:
        for number, probe in enumerate(adapter.manifest.all_probes):
            try:
                right = await self._asks(task, adapter.name, probe)
            except Unavailable:
                raise
            except ServiceError as error:
                raise AdapterRefused(f"{adapter.name}: probe {number} failed: {error}") from error
            if not right:
                raise AdapterRefused(f"{adapter.name}: probe {number} has another answer")
