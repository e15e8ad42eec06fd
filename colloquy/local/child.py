"""One child: started, watched, started again, and ended with everything it left behind."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from colloquy.local.backoff import Backoff
from colloquy.local.health import Asker
from colloquy.local.logs import bound, reason_in, size_of
from colloquy.local.plan import ChildPlan
from colloquy.local.ports import holder_of
from colloquy.local.processes import (
    Identity,
    Process,
    die_with,
    family,
    is_alive,
    process_of,
    processes,
    send,
    title_of,
)
from colloquy.local.state import ChildPhase, ChildState

_log = logging.getLogger("supervisor.child")
_ASK_STARTING_S = 0.2
_ASK_READY_S = 3.0
_ANSWER_WITHIN_S = 3.0
# A service that is alive but has not answered for so long is started again.
_DUMB_FOR_S = 15.0
_ORPHAN_PATIENCE_S = 3.0
_KILL_WITHIN_S = 5.0
_VITAL_AFTER_S = 3.0
_LOOK_AGAIN_S = 0.05


@dataclass(slots=True)
class _Run:
    """One life of the process."""

    process: subprocess.Popen[bytes]
    identity: Identity
    log_position: int
    ended: asyncio.Future[str]


class Child:
    """Keeps one process alive.

    Args:
        log: where its output goes.
        on_change: called whenever `state` would say something new.
    """

    def __init__(self, plan: ChildPlan, log: Path, on_change: Callable[[], None]) -> None:
        self.plan = plan
        self.log = log
        self.known: set[Identity] = set()
        self.ready_since: float | None = None
        self.has_been_ready = False
        self._vital: set[Identity] = set()
        self._bearers: dict[Identity, float] = {}
        self._on_change = on_change
        self._backoff = Backoff()
        self._run: _Run | None = None
        self._phase: ChildPhase = "starting"
        self._detail = ""
        self._since = time.time()
        self._restarts = 0
        self._stop_asked = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return None if self._run is None else self._run.identity.pid

    @property
    def state(self) -> ChildState:
        return ChildState(
            name=self.plan.name,
            state=self._phase,
            pid=self.pid,
            restarts=self._restarts,
            since=self._since,
            detail=self._detail,
            log=str(self.log),
        )

    @property
    def has_failed(self) -> bool:
        return self._phase == "failed"

    async def keep(self) -> None:
        """Runs the process again and again until `stop`, or until it cannot be started at all."""
        while not self._stop_asked.is_set():
            self._say("starting", self._detail)
            reason = await self._live()
            if self._stop_asked.is_set():
                break
            ready_s = 0.0 if self.ready_since is None else time.monotonic() - self.ready_since
            self.ready_since = None
            wait_s = self._backoff.failed(after_ready_s=ready_s)
            if not self.has_been_ready and self._backoff.failures >= self.plan.tries:
                self._say("failed", reason)
                return
            self._restarts += 1
            self._say("restarting", reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_asked.wait(), wait_s)
        self._say("stopped", "")

    def restart(self, reason: str) -> None:
        """Ends this life; `keep` begins the next."""
        if self._run is not None and not self._run.ended.done():
            self._run.ended.set_result(reason)

    def stop(self) -> None:
        """Has `keep` end it for good, and return."""
        self._stop_asked.set()
        if self._run is not None:
            self._say("stopping", "")
            self.restart("stopped")

    def look(self, everyone: dict[int, Process]) -> None:
        """Remembers who belongs to it, and notices that one it cannot live without has died."""
        bound(self.log)
        if self._run is None:
            return
        self.known = family(everyone, self._run.identity.pid, self.known)
        if self.plan.vital is None:
            return
        lost = self._vital - self.known
        self._vital -= lost
        self._learn_vital(self.plan.vital)
        if lost:
            self.restart("one of its processes died")

    def _learn_vital(self, title: str) -> None:
        """One must bear the title for a while: a process that is about to become another program
        still bears its parent's."""
        now = time.monotonic()
        bearers = {one for one in self.known - self._vital if title_of(one.pid).startswith(title)}
        self._bearers = {one: self._bearers.get(one, now) for one in bearers}
        self._vital |= {
            one for one, since in self._bearers.items() if now - since >= _VITAL_AFTER_S
        }

    def reap(self) -> None:
        """Notices the end of the process. Its id stays taken until its family is gone too."""
        run = self._run
        if run is None or run.ended.done():
            return
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            if ended := os.waitid(os.P_PID, run.identity.pid, options):
                run.ended.set_result(_how(ended.si_code, ended.si_status))

    async def _live(self) -> str:
        """One life, from start to the end of the whole family; returns why it ended."""
        try:
            self._run = run = self._start()
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        self._on_change()
        watching = asyncio.create_task(self._watch())
        try:
            reason = await run.ended
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        await self._end_family(run)
        self._run = None
        self._vital.clear()
        # One that was killed had no time to say why.
        if not reason.startswith("ended with"):
            return reason
        return f"{reason}: {reason_in(self.log, since=run.log_position)}"

    def _start(self) -> _Run:
        if self.plan.port is not None and (holder := holder_of(*self.plan.port)):
            host, port = self.plan.port
            raise OSError(f"port {port} on {host} is {holder}")
        if self.plan.socket is not None:
            self.plan.socket.unlink(missing_ok=True)
        position = size_of(self.log)
        supervisor = os.getpid()
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self.plan.command,
                env=self.plan.environment,
                cwd=self.plan.working_dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with(supervisor),
            )
        found = process_of(process.pid)
        if found is None:  # it cannot vanish before it is waited for
            raise OSError("vanished")
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.known = {found.identity}
        return _Run(process, found.identity, position, ended)

    async def _watch(self) -> None:
        """Says when it answers, and ends it when it does not start, or answers no more."""
        began = well = time.monotonic()
        async with Asker(self.plan.address) as asker:
            while True:
                within_s = _ANSWER_WITHIN_S
                if await asker.is_well(self.plan.health, within_s=within_s):
                    well = time.monotonic()
                    if self.ready_since is None:
                        self.ready_since, self.has_been_ready = well, True
                        self._say("ready", "")
                now = time.monotonic()
                if self.ready_since is None and now - began > self.plan.start_within_s:
                    self.restart(f"did not start within {self.plan.start_within_s:.0f} s")
                elif self.ready_since is not None and now - well > _DUMB_FOR_S:
                    self.restart(f"did not answer for {_DUMB_FOR_S:.0f} s")
                starting = self.ready_since is None
                await asyncio.sleep(_ASK_STARTING_S if starting else _ASK_READY_S)

    async def _end_family(self, run: _Run) -> None:
        """Ends the process, its session and all it has started, wherever they went."""
        leads = is_alive(run.identity)
        patience_s = self.plan.stop_within_s if leads else _ORPHAN_PATIENCE_S
        for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, _KILL_WITHIN_S)):
            until = time.monotonic() + wait_s
            asked: set[Identity] = set()
            while time.monotonic() < until:
                self.known = family(processes(), run.identity.pid, self.known)
                if not self.known:
                    break
                # The leader ends its own; when it is gone, the rest are orphans to be ended.
                leads = run.identity in self.known and number is signal.SIGTERM
                targets = {run.identity} if leads else self.known
                for identity in targets - asked:
                    send(identity, number)
                    asked.add(identity)
                await asyncio.sleep(_LOOK_AGAIN_S)
        _forget(run.process)
        if self.plan.socket is not None:
            self.plan.socket.unlink(missing_ok=True)

    def _say(self, phase: ChildPhase, detail: str) -> None:
        if (phase, detail) == (self._phase, self._detail):
            return
        if phase != self._phase:
            self._since = time.time()
        self._phase, self._detail = phase, detail
        facts = {"child": self.plan.name, "state": phase, "pid": self.pid, "why": detail}
        _log.info("child", extra={"facts": facts})
        self._on_change()


def _forget(process: subprocess.Popen[bytes]) -> None:
    """Takes the ended process off the kernel's list; one that nothing can end is left to it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)


def _how(code: int, status: int) -> str:
    if code == os.CLD_EXITED:
        return f"ended with status {status}"
    name = signal.Signals(status).name if status in signal.valid_signals() else str(status)
    hint = " (the machine may be out of memory)" if name == "SIGKILL" else ""
    return f"ended by {name}{hint}"
