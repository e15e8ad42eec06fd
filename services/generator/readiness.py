"""Whether an engine really answers: probes in the background, and what every request shows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from colloquy.contracts.operation import Check
from colloquy.engine.client import EngineClient
from colloquy.servicekit.problems import ServiceError
from services.generator.adapters import AdapterKeeper

_Result = TypeVar("_Result")
_log = logging.getLogger("generator.readiness")
# The first requests of a cold engine compile what later ones reuse.
_FIRST_PROBE_S = 90.0
_LOOK_S = 1.0
_GRACE_S = 1.5
_PROGRESS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")


class EngineWatch:
    """Probes one engine for as long as the service lives.

    It is up from the first answered probe, when its adapters are brought too, until a probe fails:
    with the defaults less than 5 seconds after the engine was killed or got stuck. A request that
    succeeded is as good as a probe. A probe that is merely slow, behind long prompts, is no
    failure while the engine's own counters show that it computes.

    Args:
        every_s, timeout_s: of the probes.
        changed: called with the new state.
    """

    def __init__(
        self,
        name: str,
        model: str,
        client: EngineClient,
        adapters: AdapterKeeper,
        *,
        every_s: float,
        timeout_s: float,
        changed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._model = model
        self._client = client
        self._adapters = adapters
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._changed = changed
        self._answered_at = float("-inf")
        self._tokens = 0.0
        self._problem: str | None = "not probed yet"
        self._down = asyncio.Event()
        self._down.set()

    @property
    def up(self) -> bool:
        return not self._down.is_set() and self._fresh

    @property
    def _fresh(self) -> bool:
        """Holds even if the probing itself should ever stand still."""
        age_s = monotonic() - self._answered_at
        return age_s < self._every_s + self._timeout_s + _GRACE_S

    def check(self) -> Check:
        problem = self._problem or (None if self.up else "no probe was answered of late")
        return Check(name=f"engine:{self._name}", ready=self.up, detail=problem)

    def succeeded(self) -> None:
        """A request was answered."""
        self._answered_at = monotonic()

    def lost_adapters(self) -> None:
        """The engine does not know a model that it had: it was restarted between two probes."""
        self._adapters.forget()
        self._go_down("the engine was restarted")

    async def until_down(self) -> None:
        await self._down.wait()

    async def run(self) -> None:
        """Probes until cancelled."""
        while True:
            wait_s = self._answered_at + self._every_s - monotonic()
            if self._down.is_set() or wait_s <= 0 or self._adapters.incomplete:
                await self._look()
                wait_s = self._every_s
            await asyncio.sleep(wait_s)

    async def _look(self) -> None:
        try:
            if self._down.is_set():
                await self._within(_FIRST_PROBE_S, self._client.ping(self._model))
                await self._adapters.bring()
                self._go_up()
            else:
                await self._probe()
                if self._adapters.incomplete:
                    await self._adapters.bring()
        except TimeoutError:
            self._went_down("the engine does not answer in time")
        except ServiceError as error:
            self._went_down(error.detail)

    async def _probe(self) -> None:
        ping = asyncio.ensure_future(self._client.ping(self._model))
        try:
            await asyncio.wait({ping}, timeout=self._timeout_s / 3)
            if not ping.done():
                await asyncio.gather(
                    self._advanced(), asyncio.wait({ping}, timeout=self._timeout_s * 2 / 3)
                )
            if ping.done():
                ping.result()
            elif not await self._advanced():
                raise TimeoutError
        finally:
            ping.cancel()
        self.succeeded()

    async def _advanced(self) -> bool:
        """Whether the engine has computed tokens since this was asked last."""
        try:
            counters = await self._within(_LOOK_S, self._client.counters())
        except (TimeoutError, ServiceError, ValueError):
            return False
        before, self._tokens = self._tokens, sum(counters.get(name, 0.0) for name in _PROGRESS)
        return self._tokens != before

    async def _within(self, limit_s: float, work: Awaitable[_Result]) -> _Result:
        async with asyncio.timeout(limit_s):
            return await work

    def _go_up(self) -> None:
        self.succeeded()
        self._problem = None
        self._down.clear()
        self._changed(True)
        _log.info("engine up", extra={"facts": {"engine": self._name}})

    def _went_down(self, why: str) -> None:
        if not self._down.is_set():
            self._adapters.forget()
        self._go_down(why)

    def _go_down(self, why: str) -> None:
        if not self._down.is_set():
            _log.error("engine down", extra={"facts": {"engine": self._name, "why": why}})
        self._problem = why
        self._down.set()
        self._changed(False)
