"""An engine as the tasks see it: its client, its queue, its adapters, whether it is up."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from colloquy.engine.client import EngineClient
from colloquy.engine.queue import EngineQueue
from colloquy.engine.serving.adapters import AdapterKeeper
from colloquy.engine.serving.readiness import EngineWatch
from colloquy.profile import Engine
from colloquy.servicekit.problems import Unavailable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ServedEngine:
    name: str
    settings: Engine
    client: EngineClient
    queue: EngineQueue
    adapters: AdapterKeeper
    watch: EngineWatch

    def model_of(self, task: str) -> str:
        """What the engine calls the model of `task`.

        Raises:
            Unavailable: the engine is down, or the task's adapter is not loaded and probed. The
                base never answers in its place.
        """
        if not self.watch.up:
            raise self._down()
        return self.adapters.model_of(task)

    async def unless_it_goes_down(self, call: Awaitable[Result]) -> Result:
        """Awaits `call`; should the engine go down meanwhile, nobody waits for it any longer.

        Raises:
            Unavailable: it went down.
        """
        running = asyncio.ensure_future(call)
        down = asyncio.ensure_future(self.watch.until_down())
        try:
            await asyncio.wait({running, down}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            raise self._down()
        finally:
            down.cancel()
            running.cancel()  # closes the connection, which ends the work in the engine
            # Whatever it ends with: who was cancelled is cancelled, not told of a late failure.
            await asyncio.gather(running, return_exceptions=True)

    def _down(self) -> Unavailable:
        return Unavailable(
            "the model engine is not running", retry_after_s=self.client.retry_after_s
        )
