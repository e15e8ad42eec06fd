"""The pool of decoders: bounded waiting, a hard time limit, and a fresh process for a stuck one."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from colloquy.contracts.operation import Check
from colloquy.media import decoding_worker as wire
from colloquy.media.failures import (
    BadImage,
    DecodeKilled,
    DecodersBusy,
    DecodersDown,
    ImageTooLarge,
)
from colloquy.media.headers import Header
from colloquy.media.metrics import MediaMetrics
from colloquy.profile import Media

_START_WITHIN_S = 20.0
_RESTART_AFTER_S = 1.0
# Of a reply: an RGB picture that does not compress at all, and the words around it.
_MAX_BYTES_PER_PIXEL = 4
_MAX_OVERHEAD_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Picture:
    """A re-encoded picture: no metadata, RGB."""

    data: bytes
    media_type: str
    width: int
    height: int


@dataclass(slots=True, eq=False)
class _Job:
    header: Header
    budget_pixels: int
    data: bytes
    answer: "asyncio.Future[Picture]"
    since: float = field(default_factory=time.monotonic)
    tried: bool = False


class DecodePool:
    """Decodes pictures in `settings.workers` processes that can be killed.

    A picture that hangs, crashes or exhausts a decoder fails alone; the decoder is replaced.

    Args:
        max_waiting: pictures that may wait; beyond it `DecodersBusy`.
        eager: start the processes with the pool; else with the first picture.
        stuck_after_ms: how long one picture may run before `check` says so; by default a little
            longer than the hard limit, after which only the pool itself can be at fault.
    """

    def __init__(
        self,
        settings: Media,
        *,
        max_waiting: int = 2_048,
        eager: bool = True,
        stuck_after_ms: int | None = None,
        metrics: MediaMetrics | None = None,
    ) -> None:
        self._settings = settings
        self._max_waiting = max_waiting
        self._eager = eager
        self._stuck_after_s = (stuck_after_ms or settings.decode_timeout_ms + 2_000) / 1_000
        self._metrics = metrics
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Condition()
        self._workers = [_Worker(settings) for _ in range(settings.workers)]
        self._tasks: list[asyncio.Task[None]] = []
        self._down_since: float | None = None

    async def __aenter__(self) -> Self:
        if self._eager:
            await asyncio.gather(*(worker.start() for worker in self._workers))
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self._workers]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in self._jobs:
            _fail(job, DecodersDown("the pool ends"))
        for worker in self._workers:
            await worker.kill()

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def _forget(self, job: _Job) -> None:
        with suppress(ValueError):
            self._jobs.remove(job)

    @property
    def pids(self) -> list[int]:
        """The decoders' process ids, for operators and for tests that stop one."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def decode(self, data: bytes, header: Header, budget_pixels: int) -> Picture:
        """Decodes `data`, which must be what `header` says, shrinks and re-encodes it.

        Raises:
            BadImage: it cannot be read, or is not what its header says.
            DecodeKilled: it took too long or ended its decoder.
            ImageTooLarge: it does not fit the decoder's memory.
            DecodersBusy, DecodersDown: ours to mend; try again.
        """
        if len(self._jobs) >= self._max_waiting:
            raise DecodersBusy
        job = _Job(header, budget_pixels, data, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        try:
            async with self._arrived:
                self._arrived.notify()
            return await job.answer
        except asyncio.CancelledError:
            self._forget(job)
            raise

    def check(self) -> Check:
        """Not ready when no decoder lives, or when pictures wait longer than any may take."""
        limit_s = self._stuck_after_s
        now = time.monotonic()
        running = [w.busy_since for w in self._workers if w.busy_since is not None]
        detail = None
        if self._tasks and all(task.done() for task in self._tasks):
            detail = "the pool has ended"
        elif self._down_since is not None:
            detail = "decoders cannot be started"
        elif any(now - since > limit_s for since in running):
            detail = "a decoder is stuck"
        elif self._jobs and now - self._jobs[0].since > 2 * limit_s:
            detail = "pictures wait too long"
        return Check(name="decoders", ready=detail is None, detail=detail)

    async def _serve(self, worker: "_Worker") -> None:
        while True:
            job = await self._next()
            if job.answer.done():  # its caller left
                continue
            if not await self._ensure(worker):
                _fail(job, DecodersDown())
                await asyncio.sleep(_RESTART_AFTER_S)
                continue
            await self._run(worker, job)
            if not worker.alive:  # replaced at once, so that the next picture need not wait
                await self._ensure(worker)

    async def _next(self) -> _Job:
        async with self._arrived:
            await self._arrived.wait_for(lambda: bool(self._jobs))
            return self._jobs.popleft()

    async def _ensure(self, worker: "_Worker") -> bool:
        if worker.alive:
            return True
        try:
            await worker.start()
        except (OSError, TimeoutError):
            self._down_since = self._down_since or time.monotonic()
            return False
        self._down_since = None
        return True

    async def _run(self, worker: "_Worker", job: _Job) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._settings.decode_timeout_ms / 1_000):
                status, picture = await worker.ask(job)
        except TimeoutError:
            await worker.kill()
            self._count_kill()
            _fail(job, DecodeKilled("it takes too long to decode"))
        except (OSError, EOFError, MemoryError):
            await worker.kill()
            self._count_kill()
            if job.tried:
                _fail(job, DecodeKilled("it cannot be decoded"))
            else:
                # It may have died of something else, even before: the picture gets a fresh one.
                job.tried = True
                self._jobs.appendleft(job)
        except asyncio.CancelledError:
            _fail(job, DecodersDown("the pool ends"))
            await worker.kill()  # half a reply may be in the channel
            raise
        else:
            if status == wire.TOO_LARGE:
                await worker.kill()
            _settle(job, status, picture)
        finally:
            if self._metrics is not None:
                self._metrics.decode_seconds.observe(time.perf_counter() - started)

    def _count_kill(self) -> None:
        if self._metrics is not None:
            self._metrics.decoders_killed.inc()


def _settle(job: _Job, status: int, picture: Picture) -> None:
    if status == wire.DONE:
        if not job.answer.done():
            job.answer.set_result(picture)
    elif status == wire.TOO_LARGE:
        _fail(job, ImageTooLarge("it does not fit the memory of a decoder"))
    elif status == wire.MISMATCH:
        _fail(job, BadImage("it is not what its header says"))
    else:
        _fail(job, BadImage("it is damaged or cut off"))


def _fail(job: _Job, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


class _Worker:
    """One decoder process and the socket to it."""

    def __init__(self, settings: Media) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self.busy_since: float | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Starts the process and waits until it can decode.

        Raises:
            OSError, TimeoutError: it cannot be started.
        """
        await self.kill()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            # No environment: it would carry the secrets. No inherited files but the one socket.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns as soon as it is forked
                [
                    sys.executable,
                    "-I",
                    str(Path(wire.__file__)),
                    str(self._settings.worker_memory_mib),
                    str(theirs.fileno()),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"MALLOC_ARENA_MAX": "1"},
                cwd="/",
                start_new_session=True,
            )
        self._channel = ours
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                status = wire.REPLY.unpack(await self._receive(wire.REPLY.size))[0]
            if status != wire.READY:
                raise OSError("the decoder does not speak")
        except (EOFError, TimeoutError) as error:
            await self.kill()
            raise OSError("the decoder did not start") from error

    async def ask(self, job: _Job) -> tuple[int, Picture]:
        """One picture there, one back.

        Raises:
            OSError, EOFError: the decoder died.
        """
        assert self._channel is not None
        header = job.header
        request = wire.REQUEST.pack(
            header.format.encode(), header.width, header.height, job.budget_pixels, len(job.data)
        )
        loop = asyncio.get_running_loop()
        self.busy_since = time.monotonic()
        try:
            await loop.sock_sendall(self._channel, request + job.data)
            head = await self._receive(wire.REPLY.size)
            status, media_type, width, height, length = wire.REPLY.unpack(head)
            if length > job.budget_pixels * _MAX_BYTES_PER_PIXEL + _MAX_OVERHEAD_BYTES:
                raise OSError("the decoder promises more than a picture can be")
            data = await self._receive(length)
        finally:
            self.busy_since = None
        kind = media_type.rstrip(b"\0").decode("ascii", "replace")
        return status, Picture(data, kind, width, height)

    async def kill(self) -> None:
        """Ends the process, whatever it does, and leaves no zombie."""
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, 9) if process.poll() is None else None
            await asyncio.to_thread(process.wait)

    async def _receive(self, count: int) -> bytes:
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        data = bytearray(count)
        view = memoryview(data)
        while len(view):
            got = await loop.sock_recv_into(self._channel, view)
            if got == 0:
                raise EOFError("the decoder is gone")
            view = view[got:]
        return bytes(data)
