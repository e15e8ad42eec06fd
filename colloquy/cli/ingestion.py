"""Dialogues into a collection: pictures first, then records in chunks, each acknowledged.

Each chunk has a key of its own, so that one whose answer was lost may be sent again. A file that is
indexed again is sent anew: what is there already stays as it is, and what was deleted or failed
meanwhile is there afterwards.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from colloquy.cli.following import Job
from colloquy.cli.gateway import Gateway, Refused
from colloquy.cli.uploads import Pending, PictureFault, Uploads
from colloquy.contracts.content import Dialogue
from colloquy.dialogue_files import Fault, Read

CHUNK_ITEMS = 256
CHUNK_BYTES = 4 * 2**20
_AHEAD = 16  # dialogues whose pictures are on their way; each picture lies in memory until then
_NOT_FOUND = 404
# A chunk of which nothing can be taken, or which is too large; its halves may be better.
_DIVIDED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Line:
    """A dialogue as it is sent, and the place that it came from."""

    place: str
    dialogue_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one job has; the position of a line is that of its item."""

    job: str
    lines: tuple[Line, ...]

    def faults(self, job: Job) -> list[Fault]:
        """The job's errors, each at the place that its item came from."""
        found = []
        for error in job["errors"]:
            item = error["item"]
            known = item is not None and item < len(self.lines)
            place = self.lines[item].place if known else ""
            found.append(Fault(place, error["why"], error["at"], error["dialogue_id"]))
        return found


@dataclass(slots=True)
class Sender:
    """Sends dialogues to one collection.

    Attributes:
        faults: items that were not sent, or that the gateway would not take.
    """

    gateway: Gateway
    collection: str
    faults: list[Fault] = field(default_factory=list)

    def send(
        self, found: Iterable[Read | Fault], folder: Path, seen: Callable[[int], None]
    ) -> Iterator[Chunk]:
        """Yields each chunk when it is acknowledged.

        Args:
            folder: paths of pictures are relative to it.
            seen: told of every item that was read, sent or not.

        Raises:
            CommandFailed: the gateway takes none.
        """
        uploads = Uploads(self.gateway)
        try:
            for lines in _chunks(self._lines(found, folder, uploads, seen)):
                yield from self._acknowledged(tuple(lines))
        finally:
            uploads.close()

    def _lines(
        self,
        found: Iterable[Read | Fault],
        folder: Path,
        uploads: Uploads,
        seen: Callable[[int], None],
    ) -> Iterator[Line]:
        waiting: list[tuple[Read, Pending]] = []
        for one in found:
            if isinstance(one, Fault):
                self.faults.append(one)
                seen(1)
                continue
            waiting.append((one, uploads.begin(one.dialogue, folder)))
            # Pictures of the next dialogues are on their way while these are waited for.
            if len(waiting) > _AHEAD:
                yield from self._ready(waiting.pop(0), seen)
        for read in waiting:
            yield from self._ready(read, seen)

    def _ready(self, read: tuple[Read, Pending], seen: Callable[[int], None]) -> Iterator[Line]:
        one, pending = read
        seen(1)
        try:
            dialogue = pending.dialogue()
        except PictureFault as fault:
            self.faults.append(Fault(one.place, str(fault), fault.at, one.dialogue.id))
            return
        yield Line(one.place, str(dialogue.id), _written(dialogue))

    def _acknowledged(self, lines: tuple[Line, ...]) -> Iterator[Chunk]:
        try:
            yield Chunk(self._posted(lines), lines)
        except Refused as refusal:
            if refusal.status not in _DIVIDED:
                raise
            if len(lines) == 1:
                (line,) = lines
                self.faults.append(Fault(line.place, str(refusal), "", line.dialogue_id))
                return
            half = len(lines) // 2
            yield from self._acknowledged(lines[:half])
            yield from self._acknowledged(lines[half:])

    def _posted(self, lines: tuple[Line, ...]) -> str:
        answer = self.gateway.call(
            "POST",
            f"/v1/collections/{self.collection}/dialogues",
            content="".join(line.text + "\n" for line in lines).encode(),
            headers={"content-type": "application/x-ndjson", "idempotency-key": uuid4().hex},
        )
        return str(answer["job"])


def ensure_collection(gateway: Gateway, name: str) -> dict[str, Any]:
    """The collection, made where there is none; one that is there stays as it is."""
    try:
        return gateway.get(f"/v1/collections/{name}")
    except Refused as refusal:
        if refusal.status != _NOT_FOUND:
            raise
    return gateway.call("PUT", f"/v1/collections/{name}", json={"kind": "dialogues"})


def _written(dialogue: Dialogue) -> str:
    record = dialogue.model_dump(mode="json", exclude_none=True)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    size = 0
    for line in lines:
        length = len(line.text.encode()) + 1
        if chunk and (len(chunk) == CHUNK_ITEMS or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += length
    if chunk:
        yield chunk
