"""The process that holds the shards of Qdrant Edge: one request after another, from one socket.

It is started by the retriever, which alone talks to it, and ends with it: at the end of the socket,
or killed by the kernel when the retriever dies. Nothing has to be put in order then, since every
write that was answered is in the shard's log. Flushing, which shortens the log, takes a moment: it
is done when nobody asks for anything, or when the log becomes long.

python -m services.retriever.edge_worker SOCKET_FD PARENT_PID ROOT MAX_OPEN
"""

import fcntl
import os
import select
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import qdrant_edge as edge

from services.retriever import edge_shard
from services.retriever.edge_processes import end_with
from services.retriever.edge_wire import LENGTH, Message, decode, encode

LOCK: Final = "worker.lock"
_LOCK_WITHIN_S: Final = 15.0
_IDLE_S: Final = 0.5
# What an opening after a crash has to do again: some seconds at most.
_MAX_UNFLUSHED_POINTS: Final = 10_000


class Shards:
    """Open shards by folder; the one that was not asked for longest is closed for another."""

    def __init__(self, root: Path, max_open: int) -> None:
        self._root = root
        self._max_open = max_open
        self._unflushed: dict[str, int] = {}
        self._open: OrderedDict[str, edge.EdgeShard] = OrderedDict()
        self._journals: dict[str, BinaryIO] = {}

    def handle(self, message: Message, frame: bytes) -> Message:
        """Does what `message`, which was read from `frame`, asks for."""
        folder, do = message.head["folder"], message.head["do"]
        if do in ("upsert", "delete"):
            return self._write(folder, message, frame)
        if do in _READS:
            return _READS[do](self._shard(folder), message)
        if do == "create":
            edge_shard.create(self._root / folder, message.head)
        elif do == "state":
            return Message(edge_shard.state(self._shard(folder)))
        elif do == "begin":
            self._begin(folder, Path(message.head["journal"]))
        elif do == "adopt":
            return self._adopt(folder, message.head["target"], message.head["offset"])
        elif do == "forget":
            self._end_journal(folder)
        elif do == "close":
            self._close(folder)
        else:
            raise ValueError(f"unknown request {do}")
        return Message({})

    def _write(self, folder: str, message: Message, frame: bytes) -> Message:
        shard = self._shard(folder)
        gone = edge_shard.apply_write(shard, message)
        self._note(folder, frame)
        written = self._unflushed.get(folder, 0) + gone + len(message.head.get("ids", ()))
        self._unflushed[folder] = written
        if written > _MAX_UNFLUSHED_POINTS:
            self.flush_one(folder)
        return Message({"deleted": gone, **edge_shard.state(shard)})

    @property
    def unflushed(self) -> list[str]:
        """Folders whose logs hold more than they need to."""
        return list(self._unflushed)

    def flush_one(self, folder: str) -> None:
        self._unflushed.pop(folder, None)
        self._open[folder].flush()

    def close(self) -> None:
        for folder in list(self._open):
            self._close(folder)

    def _note(self, folder: str, frame: bytes) -> None:
        journal = self._journals.get(folder)
        if journal is None:
            return
        try:
            journal.write(LENGTH.pack(len(frame)) + frame)
            journal.flush()
        except OSError:  # the write is done; it is the optimising that cannot go on
            self._end_journal(folder)

    def _begin(self, folder: str, journal: Path) -> None:
        """From here on writes to `folder` are noted in `journal`; its files hold all before."""
        self._end_journal(folder)
        self._shard(folder)
        if folder in self._unflushed:  # nothing may move in its files while they are copied
            self.flush_one(folder)
        self._journals[folder] = journal.open("wb")

    def _adopt(self, folder: str, target: str, offset: int) -> Message:
        """Opens the optimised copy and does what was written to `folder` since `offset`.

        As after any write, it is the log that has to reach the disk before this counts.
        """
        path = Path(self._journals[folder].name)
        copy = self._shard(target)
        with path.open("rb") as journal:
            offset = edge_shard.replay(copy, journal, offset)
        self._unflushed[target] = 1
        return Message({"offset": offset, **edge_shard.state(copy)})

    def _end_journal(self, folder: str) -> None:
        journal = self._journals.pop(folder, None)
        if journal is not None:
            with suppress(OSError):
                journal.close()

    def _close(self, folder: str) -> None:
        self._end_journal(folder)
        self._unflushed.pop(folder, None)
        shard = self._open.pop(folder, None)
        if shard is not None:
            shard.close()  # flushes

    def _shard(self, folder: str) -> edge.EdgeShard:
        shard = self._open.get(folder)
        if shard is None:
            self._make_room()
            shard = self._open[folder] = edge.EdgeShard.load(str(self._root / folder))
        self._open.move_to_end(folder)
        return shard

    def _make_room(self) -> None:
        idle = [folder for folder in self._open if folder not in self._journals]
        for folder in idle[: max(0, len(self._open) - self._max_open + 1)]:
            self._close(folder)


_READS: Mapping[str, Callable[[edge.EdgeShard, Message], Message]] = {
    "search": edge_shard.search,
    "scroll": edge_shard.scroll,
    "count": edge_shard.count,
}


def serve(channel: socket.socket, shards: Shards) -> None:
    """Answers until the other side is gone; flushes one shard after another while it is silent."""
    while True:
        for folder in shards.unflushed:
            if select.select([channel], [], [], _IDLE_S)[0]:
                break
            shards.flush_one(folder)
        frame = receive(channel)
        if frame is None:
            return
        message = decode(frame)
        try:
            reply = shards.handle(message, frame)
        except Exception as error:  # noqa: BLE001 - the library raises bare `Exception`
            reply = Message({"error": f"{type(error).__name__}: {error}"})
        channel.sendall(encode(Message({**reply.head, "id": message.head["id"]}, reply.arrays)))


def receive(channel: socket.socket) -> bytes | None:
    """The next frame, without its length; None when the other side is gone."""
    length = _exactly(channel, LENGTH.size)
    return None if length is None else _exactly(channel, *LENGTH.unpack(length))


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray(count)
    view = memoryview(data)
    while len(view):
        got = channel.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return bytes(data)


def wait_for_lock(path: Path) -> BinaryIO:
    """Shards are locked by their process: one that is being killed may still hold some.

    Raises:
        TimeoutError: another worker lives and serves this folder.
    """
    give_up = time.monotonic() + _LOCK_WITHIN_S
    file = path.open("wb")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > give_up:
                raise TimeoutError("another process holds the vectors") from None
            time.sleep(0.02)
        else:
            return file


def main() -> None:
    descriptor, parent, root, max_open = sys.argv[1:]
    end_with(int(parent))
    channel = socket.socket(fileno=int(descriptor))
    with wait_for_lock(Path(root) / LOCK):
        channel.sendall(encode(Message({"id": 0, "ready": os.getpid()})))
        shards = Shards(Path(root), int(max_open))
        serve(channel, shards)
        shards.close()


if __name__ == "__main__":
    main()
