"""`up`, `down` and `status` from outside the supervisor."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from colloquy.local.layout import Layout
from colloquy.local.logs import reason_in, size_of
from colloquy.local.processes import Identity, is_alive, send
from colloquy.local.stale import clean_up
from colloquy.local.state import StackState, read_state
from colloquy.profile import Profile

# The supervisor's exit status when another one holds the lock.
ALREADY_UP = 75
_LOOK_AGAIN_S = 0.1
_STOP_WITHIN_S = 60.0
_KILL_WITHIN_S = 10.0
_SAY_HELLO_WITHIN_S = 30.0
# From the last process that runs to a stack that answers: first probes on a busy machine are slow.
_READY_WITHIN_S = 180.0


SUPERVISOR = (sys.executable, "-m", "colloquy.local", "--profile")


class StackFailed(Exception):
    """The stack cannot be brought up or down; the message is one line."""


class Stack:
    """The stack of one profile, as another process sees it.

    Args:
        supervisor: the command that a profile's path completes.
    """

    def __init__(
        self, profile: Profile, profile_path: Path, *, supervisor: Sequence[str] = SUPERVISOR
    ) -> None:
        self.profile = profile
        self._supervisor = supervisor
        self.layout = Layout(profile)
        self._path = profile_path.resolve()

    def state(self) -> StackState | None:
        """None when there is no stack."""
        state = read_state(self.layout.state_file)
        return state if state is not None and state.supervisor_is_alive else None

    def last_failure(self) -> str | None:
        state = read_state(self.layout.state_file)
        failed = state is not None and state.state == "failed" and not state.supervisor_is_alive
        return state.detail if state is not None and failed else None

    def start(self, *, tied: bool = False) -> bool:
        """Starts the supervisor unless one runs; returns whether it did.

        Args:
            tied: the stack ends with this process, however that ends.

        Raises:
            StackFailed: it ended at once.
        """
        if self.state() is not None:
            return False
        self.layout.logs_dir.mkdir(parents=True, exist_ok=True)
        log = self.layout.log_of("supervisor")
        position = size_of(log)
        command = [*self._supervisor, str(self._path)]
        if tied:
            command += ["--die-with", str(os.getpid())]
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )
        return self._await_hello(supervisor, log, position)

    def follow(self) -> Iterator[StackState]:
        """The stack's state, again and again, until it is ready.

        Raises:
            StackFailed: it never will be; the message says why.
        """
        silent_since = running_since = time.monotonic()
        while True:
            state = self.state()
            if state is None:
                # Another `up` may be at it, whose supervisor has not written anything yet.
                waited_s = time.monotonic() - silent_since
                if waited_s < _SAY_HELLO_WITHIN_S and self._is_held():
                    time.sleep(_LOOK_AGAIN_S)
                    continue
                why = self.last_failure() or f"ended; see {self.layout.log_of('supervisor')}"
                raise StackFailed(why)
            yield state
            if state.state == "ready":
                return
            silent_since = now = time.monotonic()
            if any(child.state != "ready" for child in state.children):
                running_since = now
            elif now - running_since > _READY_WITHIN_S:
                raise StackFailed(f"everything runs, but it is not ready: {state.detail}")
            time.sleep(_LOOK_AGAIN_S)

    def stop(self) -> bool:
        """Ends every process and removes every socket; returns whether there was anything.

        Raises:
            StackFailed: somebody else holds on to it.
        """
        if not self.layout.lock_file.exists():
            return False
        until = time.monotonic() + _STOP_WITHIN_S
        asked: set[Identity] = set()
        while True:
            state = self.state()
            if state is not None:
                supervisor = Identity(*state.supervisor)
                if time.monotonic() > until:
                    send(supervisor, signal.SIGKILL)
                elif supervisor not in asked:
                    send(supervisor, signal.SIGTERM)
                    asked.add(supervisor)
            with self._locked() as ours:
                # Its lock is free a moment before it is gone.
                if ours and not any(map(is_alive, asked)):
                    left = clean_up(self.layout)
                    return bool(asked) or left > 0
            if time.monotonic() > until + _KILL_WITHIN_S:
                raise StackFailed(f"somebody holds {self.layout.lock_file} and does not let go")
            time.sleep(_LOOK_AGAIN_S / 2)

    def _await_hello(self, supervisor: subprocess.Popen[bytes], log: Path, position: int) -> bool:
        """Until the supervisor has written its first state, or says that another one runs."""
        until = time.monotonic() + _SAY_HELLO_WITHIN_S
        while time.monotonic() < until:
            status = supervisor.poll()
            state = read_state(self.layout.state_file)
            mine = state is not None and state.supervisor[0] == supervisor.pid
            if status == ALREADY_UP:
                return False
            if status is not None and not mine:
                raise StackFailed(f"the supervisor ended: {reason_in(log, since=position)}")
            if mine:
                # It outlives this process, which will not be there to wait for it.
                supervisor.returncode = 0 if status is None else status
                return True
            time.sleep(_LOOK_AGAIN_S / 2)
        raise StackFailed(f"the supervisor does not start; see {log}")

    def _is_held(self) -> bool:
        with self._locked() as ours:
            return not ours

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        with self.layout.lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
