"""The retriever's side of its worker: asks it, notices its death, starts another at once."""

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from colloquy.servicekit.problems import Unavailable
from services.retriever.edge_processes import start
from services.retriever.edge_wire import LENGTH, Message, decode, encode

_START_WITHIN_S: Final = 30.0
_END_WITHIN_S: Final = 10.0
# A caller waits for a worker that is just being started, but not for one that cannot be.
_PATIENCE_S: Final = 2.0
_PAUSES_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_LIVED_S: Final = 10.0
_STUCK_AFTER_S: Final = 30.0
# The worker does one thing at a time; the second is sent so that it never waits for its next.
_AHEAD: Final = 2
_log = logging.getLogger("colloquy.retriever.vectors")


class Channel:
    """Frames to and from one process."""

    def __init__(self, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        self.process = process
        self._socket = ours

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(sock=self._socket)

    async def receive(self) -> Message | None:
        """The next message; None when the process is gone."""
        try:
            (length,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
            return decode(await self.reader.readexactly(length))
        except (EOFError, OSError, ValueError):  # the last: what it says cannot be read
            return None

    def send(self, message: Message) -> None:
        self.writer.write(encode(message))

    async def end(self) -> None:
        """Lets the process finish what it does, and puts an end to it if that takes long."""
        with suppress(OSError):
            self.writer.write_eof()
        waiting = asyncio.ensure_future(asyncio.to_thread(self.process.wait))
        await asyncio.wait([waiting], timeout=_END_WITHIN_S)
        await self.kill()

    async def kill(self) -> None:
        """Ends the process whatever it does, and leaves no zombie."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.to_thread(self.process.wait)
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def start_channel(
    module: str, arguments: Sequence[str], *, within_s: float = _START_WITHIN_S
) -> Channel:
    """Starts `module` and waits for its first word.

    Raises:
        OSError: it cannot be started, or ends at once.
    """
    channel = Channel(*start(module, arguments))
    await channel.open()
    try:
        async with asyncio.timeout(within_s):
            if await channel.receive() is not None:
                return channel
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        await channel.kill()
        raise
    await channel.kill()
    raise OSError("a process of the vector store did not start")


class Worker:
    """A process that answers, and is replaced when it dies.

    Attributes:
        incarnation: counts the processes; what one of them held in memory is gone with it.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._module = module
        self._arguments = arguments
        self._channel: Channel | None = None
        self._up = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[Message | None]] = {}
        self._since: dict[int, float] = {}
        self._slots = asyncio.Semaphore(_AHEAD)
        self._last = 0
        self._keeper: asyncio.Task[None] | None = None
        self.incarnation = 0

    async def start(self) -> None:
        """Raises:
        OSError: it cannot be started."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._channel is not None:
            await self._channel.end()
        self._lost()

    @property
    def pid(self) -> int | None:
        """For operators, and for tests that kill it."""
        return self._channel.process.pid if self._channel and self._up.is_set() else None

    @property
    def trouble(self) -> str | None:
        """Why it does not work, if it does not."""
        if not self._up.is_set():
            return "the worker is being started"
        if self._since and time.monotonic() - min(self._since.values()) > _STUCK_AFTER_S:
            return "the worker does not answer"
        return None

    async def ask(self, build: Callable[[], Message]) -> Message:
        """The reply to what `build` returns when the request's turn has come.

        It is built that late because folders change: a request that waited must not name one that
        is gone. A caller that leaves while it waits costs the worker nothing.

        Raises:
            Unavailable: the worker died, or failed; the request may have been done.
        """
        answer = asyncio.shield(await self._send(build))
        reply = await answer
        if reply is None:
            raise Unavailable("the vector store was interrupted")
        if "error" in reply.head:
            _log.error("the vector store failed", extra={"why": reply.head["error"]})
            raise Unavailable("the vector store could not do this")
        return reply

    async def _send(self, build: Callable[[], Message]) -> "asyncio.Future[Message | None]":
        while True:
            await self._until_up()
            await self._slots.acquire()
            if self._up.is_set():
                break
            self._slots.release()
        try:
            message = build()
            self._last += 1
            identity = self._last
            assert self._channel is not None
            self._channel.send(Message({**message.head, "id": identity}, message.arrays))
        except BaseException:
            self._slots.release()
            raise
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._waiting[identity], self._since[identity] = answer, time.monotonic()
        return answer

    async def _until_up(self) -> None:
        if self._up.is_set():
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._up.wait()
        except TimeoutError:
            raise Unavailable("the vector store is being started") from None

    async def _spawn(self) -> None:
        self._channel = await start_channel(self._module, self._arguments)
        self.incarnation += 1
        self._up.set()

    async def _keep(self) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            await self._read()
            self._lost()
            assert self._channel is not None
            await self._channel.kill()
            failures = 0 if time.monotonic() - started > _LIVED_S else failures + 1
            _log.error("the worker of the vector store died; another is started")
            while not self._up.is_set():
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                try:
                    await self._spawn()
                except OSError:
                    failures += 1
                    _log.exception("the worker of the vector store cannot be started")

    async def _read(self) -> None:
        assert self._channel is not None
        while (reply := await self._channel.receive()) is not None:
            self._settle(reply.head["id"], reply)

    def _lost(self) -> None:
        self._up.clear()
        for identity in list(self._waiting):
            self._settle(identity, None)

    def _settle(self, identity: int, reply: Message | None) -> None:
        answer = self._waiting.pop(identity)
        self._since.pop(identity)
        self._slots.release()
        if not answer.done():
            answer.set_result(reply)
