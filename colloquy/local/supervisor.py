"""Keeps a profile's processes running until it is told to stop."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from colloquy.contracts.operation import Readiness
from colloquy.local.child import Child
from colloquy.local.engine_command import CannotStart
from colloquy.local.health import Asker
from colloquy.local.layout import Layout
from colloquy.local.logs import bound
from colloquy.local.plan import ChildPlan, Handed, gateway_url, plan, services_of
from colloquy.local.ports import holder_of
from colloquy.local.processes import Identity, Process, adopt_orphans, boot_id, process_of, send
from colloquy.local.processes import processes as all_processes
from colloquy.local.stale import clean_up, clear, clear_sockets
from colloquy.local.state import ChildState, StackPhase, StackState
from colloquy.profile import Profile, new_secret
from colloquy.servicekit.middleware import HOP_SECRET_HEADER

_LOOK_STARTING_S = 0.25
_LOOK_S = 2.0
_READY_WITHIN_S = 4.0
# The services that ask engines, and say of each whether it answers.
_WATCH_ENGINES = frozenset({"generator", "retriever", "reranker"})


Planner = Callable[[Profile, Path, Handed], list[ChildPlan]]


class Supervisor:
    """Owns the children. One lives for a state folder: its caller holds the lock."""

    def __init__(self, profile: Profile, profile_path: Path, planner: Planner = plan) -> None:
        self._planner = planner
        self._profile = profile
        self._profile_path = profile_path
        self._layout = Layout(profile)
        self._children: list[Child] = []
        self._phase: StackPhase = "starting"
        self._detail = ""
        self._page_token = new_secret()
        self._hop = new_secret()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._written: StackState | None = None
        self._checks: dict[str, str] = {}
        self._green_at: dict[str, float] = {}

    async def run(self) -> int:
        """Runs until a signal or a failure; returns the process's exit status."""
        adopt_orphans()
        self._layout.prepare()
        clean_up(self._layout)
        self._layout.prepare()
        self._listen_to_signals()
        try:
            self._children = [self._child(one) for one in self._planned()]
        except CannotStart as refusal:
            self._fail(str(refusal))
            return 1
        self._write()
        keeping = [asyncio.create_task(child.keep()) for child in self._children]
        await self._supervise()
        failure = self._detail if self._phase == "failed" else None
        await self._end(keeping)
        if failure is not None:
            self._fail(failure)
            return 1
        clear(self._layout)
        return 0

    def _planned(self) -> list[ChildPlan]:
        handed = Handed(self._hop, self._layout.blob_key(), self._page_token)
        planned = self._planner(self._profile, self._profile_path, handed)
        for child in planned:
            if child.port is not None and (holder := holder_of(*child.port)):
                host, port = child.port
                raise CannotStart(f"gateway/port: port {port} on {host} is {holder}")
        return planned

    def _child(self, planned: ChildPlan) -> Child:
        return Child(planned, self._layout.log_of(planned.name), self._changed.set)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    async def _supervise(self) -> None:
        """Looks at everything, again and again: the one loop of the supervisor."""
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(Asker(gateway_url(self._profile)))
            services = [
                await stack.enter_async_context(
                    Asker(self._profile.address_of(name), headers={HOP_SECRET_HEADER: self._hop})
                )
                for name in services_of(self._profile)
                if name in _WATCH_ENGINES
            ]
            while not self._stop.is_set():
                self._look()
                failed = next((child for child in self._children if child.has_failed), None)
                if failed is not None:
                    self._phase = "failed"
                    self._detail = (
                        f"{failed.plan.name} cannot start: {failed.state.detail} "
                        f"(its log: {failed.log})"
                    )
                    return
                await self._ask(gateway, services)
                self._write()
                await self._wait(_LOOK_STARTING_S if self._phase == "starting" else _LOOK_S)

    async def _wait(self, longest_s: float) -> None:
        """Until a child changes, the stack is to stop, or the time is over."""
        self._changed.clear()
        waiting = [asyncio.create_task(e.wait()) for e in (self._changed, self._stop)]
        await asyncio.wait(waiting, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()

    async def _ask(self, gateway: Asker, services: Sequence[Asker]) -> None:
        """Whether the stack serves, and which engines answer."""
        answers = await asyncio.gather(
            *(asker.readiness(within_s=_READY_WITHIN_S) for asker in (gateway, *services))
        )
        front, behind = answers[0], [answer for answer in answers[1:] if answer is not None]
        self._checks = {
            check.name: check.detail
            for answer in answers
            if answer is not None
            for check in answer.checks
            if not check.ready and check.detail
        }
        all_run = all(child.state.state == "ready" for child in self._children)
        if front is not None and front.ready and all_run:
            self._phase, self._detail = "ready", ""
        else:
            if self._phase == "ready":
                self._phase = "degraded"
            self._detail = "; ".join(f"{name}: {why}" for name, why in self._checks.items())
        self._restart_stuck_engines(behind)

    def _restart_stuck_engines(self, answers: Sequence[Readiness]) -> None:
        """Services probe engines with real questions; `engine:<name>` is their check. An engine
        that answers one of them is not stuck."""
        now = asyncio.get_running_loop().time()
        checks = [check for answer in answers for check in answer.checks]
        green = {check.name for check in checks if check.ready}
        self._green_at |= dict.fromkeys(green, now)
        for name in {check.name for check in checks} - green:
            child = self._engine_of(name)
            if child is None or child.ready_since is None:
                continue
            # A new engine's first answers take their time: it is measured by its start limit.
            green_at = self._green_at.get(name, 0.0)
            fresh = green_at < child.ready_since
            limit_s = child.plan.start_within_s if fresh else child.plan.stuck_after_s
            if now - max(green_at, child.ready_since) > limit_s:
                child.restart(f"did not answer its probe for {limit_s:.0f} s")

    def _engine_of(self, check: str) -> Child | None:
        wanted = check.replace(":", "-", 1)
        engines = (child for child in self._children if child.plan.kind == "engine")
        return next((child for child in engines if child.plan.name == wanted), None)

    def _look(self) -> None:
        bound(self._layout.log_of("supervisor"))
        everyone = all_processes()
        for child in self._children:
            child.look(everyone)
        self._end_strays(everyone)

    def _reap(self) -> None:
        for child in self._children:
            child.reap()
        # What was handed to us by dying parents ends here, or it stays a zombie.
        ours = {child.pid for child in self._children}
        for process in all_processes().values():
            if process.parent == os.getpid() and process.dead and process.pid not in ours:
                try:
                    os.waitpid(process.pid, os.WNOHANG)
                except ChildProcessError:
                    continue

    def _end_strays(self, everyone: dict[int, Process]) -> None:
        """A process that was handed to us and belongs to no living child is nobody's."""
        ours = {child.pid for child in self._children}
        known = {identity for child in self._children for identity in child.known}
        for process in everyone.values():
            if process.parent != os.getpid() or process.dead or process.pid in ours:
                continue
            if process.identity not in known:
                send(process.identity, signal.SIGKILL)

    async def _end(self, keeping: list[asyncio.Task[None]]) -> None:
        """The gateway first, so that what runs may finish; then the rest at once."""
        if self._phase != "failed":
            self._phase, self._detail = "stopping", ""
        self._write()
        fronts = [child for child in self._children if child.plan.port is not None]
        tasks = dict(zip((id(child) for child in self._children), keeping, strict=True))
        for group in (fronts, self._children):
            for child in group:
                child.stop()
            await asyncio.gather(*(tasks[id(child)] for child in group))
            self._write()
        self._end_strays(all_processes())

    def _fail(self, why: str) -> None:
        """Leaves the reason where `up` and `status` find it."""
        self._phase, self._detail = "failed", why
        self._write()
        clear_sockets(self._layout)

    def _write(self) -> None:
        state = self._state()
        if state != self._written:
            state.write(self._layout.state_file)
            self._written = state

    def _state(self) -> StackState:
        me = process_of(os.getpid())
        assert me is not None
        children = [self._shown(child) for child in self._children]
        members: set[Identity] = set().union(*(child.known for child in self._children))
        return StackState(
            profile=self._profile.name,
            profile_path=str(self._profile_path),
            state=self._phase,
            detail=self._detail,
            boot=boot_id(),
            supervisor=(me.identity.pid, me.identity.started),
            api_url=gateway_url(self._profile),
            page_token=self._page_token,
            children=children,
            processes=sorted((one.pid, one.started) for one in members),
        )

    def _shown(self, child: Child) -> ChildState:
        state = child.state
        trouble = self._checks.get(state.name.replace("-", ":", 1))
        # Who has just become ready is still what it was to whoever asked it before.
        settled = child.ready_since is not None and time.monotonic() - child.ready_since > _LOOK_S
        if state.state == "ready" and trouble and settled:
            return state.model_copy(update={"detail": trouble})
        return state
