"""Whether an engine really answers: probes in the background, and what every request shows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from colloquy.contracts.operation import Check
from colloquy.engine.client import EngineClient
from colloquy.engine.serving.adapters import AdapterKeeper
from colloquy.servicekit.problems import ServiceError

_Result = TypeVar("_Result")
_log = logging.getLogger("engine.readiness")
# The first requests of a cold engine compile what later ones reuse.
_FIRST_PROBE_S = 90.0
_LOOK_S = 1.0
_GRACE_S = 1.5
# All of them come from the engine's core with each step that it has computed.
_PROGRESS = (
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
)


class EngineWatch:
    """Probes one engine for as long as the service lives.

    It is ready from the first answered probe, when its adapters are brought too, until a probe
    fails: with the defaults less than 5 seconds after the engine was killed or got stuck. A request
    that succeeded is as good as a probe. A probe that is merely slow, behind long prompts, is no
    failure while the engine's own counters show that it computes.

    An engine that refuses connections or says that it is dead is down at once. One that is silent
    is not ready, but it may be late on a busy machine: who waits for it is sent away only when it
    has been silent for `stuck_after_s`.

    Args:
        every_s, timeout_s: of the probes.
        changed: called when it becomes ready and when it ceases to be.
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
        stuck_after_s: float,
        changed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._model = model
        self._client = client
        self._adapters = adapters
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._stuck_after_s = stuck_after_s
        self._changed = changed
        self._answered_at = float("-inf")
        self._progress: list[float | None] = []
        self._problem: str | None = "not probed yet"
        self._down = asyncio.Event()
        self._down.set()

    @property
    def up(self) -> bool:
        """Whether it makes sense to ask."""
        return not self._down.is_set()

    @property
    def ready(self) -> bool:
        # The age holds even if the probing itself should ever stand still.
        longest_s = self._every_s + self._timeout_s + _GRACE_S
        return self.up and self._problem is None and self._silent_s < longest_s

    @property
    def _silent_s(self) -> float:
        return monotonic() - self._answered_at

    def check(self) -> Check:
        problem = self._problem or (None if self.ready else "no probe was answered of late")
        return Check(name=f"engine:{self._name}", ready=self.ready, detail=problem)

    def succeeded(self) -> None:
        """A request was answered."""
        self._answered_at = monotonic()
        if self.up and self._problem is not None:
            self._problem = None
            self._changed(True)

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
            self._is_silent("the engine does not answer in time")
        except ServiceError as error:
            self._went_down(error.detail)
        except Exception:  # noqa: BLE001 - the last resort of a loop that must not end
            # Whatever it was, an engine that is no longer probed would be red for ever.
            _log.exception("a probe failed in an unexpected way")
            self._went_down("the engine cannot be probed")

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
        """Whether the engine has computed anything since this was asked last."""
        try:
            counters = await self._within(_LOOK_S, self._client.counters())
        except (TimeoutError, ServiceError, ValueError):
            return False
        before, self._progress = self._progress, [counters.get(name) for name in _PROGRESS]
        return self._progress != before

    async def _within(self, limit_s: float, work: Awaitable[_Result]) -> _Result:
        async with asyncio.timeout(limit_s):
            return await work

    def _go_up(self) -> None:
        self._down.clear()
        self.succeeded()
        _log.info("engine up", extra={"facts": {"engine": self._name}})

    def _is_silent(self, why: str) -> None:
        if self.up and self._silent_s < self._stuck_after_s:
            self._say(why)
        else:
            self._went_down(why)

    def _went_down(self, why: str) -> None:
        if self.up:
            self._adapters.forget()
        self._go_down(why)

    def _go_down(self, why: str) -> None:
        self._say(why)
        self._down.set()

    def _say(self, why: str) -> None:
        if self._problem != why:
            _log.error("engine not ready", extra={"facts": {"engine": self._name, "why": why}})
        self._problem = why
        self._changed(False)
