"""Which collections there are and which folder holds each: one small file for a collection.

    ROOT/<digest>/collection.json      who it is, and the folders of the live and the staged copy
    ROOT/<digest>/<generation>/        a shard

Whatever happens to a collection as a whole, from its making to the swap of an optimised copy, is
one replacement of that file, so a crash leaves all of the old or all of the new. A folder that no
file names is what a crash left, and is removed at the next start.
"""

import asyncio
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from colloquy.servicekit.problems import CollectionMissing
from services.retriever.domain import Key, Schema
from services.retriever.vector_store_points import schema_from_json, schema_to_json

FILE: Final = "collection.json"
FORMAT: Final = 1
_log = logging.getLogger("colloquy.retriever.vectors")


@dataclass(frozen=True, slots=True)
class Generation:
    """One shard.

    Attributes:
        folder: under the root.
        graphed: what the shard counted when its graph was built; above it is what came later.
    """

    folder: str
    schema: Schema
    graphed: Mapping[str, int] = field(default_factory=lambda: {"points": 0, "indexed": 0})

    def unindexed(self, state: Mapping[str, int]) -> int:
        """Points of a shard in `state` that are not in its graph; about.

        The shard counts a new point by its sparse vector, if it has one. Replacing a point adds to
        that count and not to the points; deleting takes from the points alone.
        """
        later = max(state[name] - self.graphed[name] for name in ("points", "indexed"))
        return min(max(later, 0), state["points"])


@dataclass(frozen=True, slots=True)
class Entry:
    """A collection: what is searched, and what a reindex builds beside it."""

    tenant: str
    collection: str
    live: Generation | None = None
    staged: Generation | None = None

    @property
    def digest(self) -> str:
        """Names the folder: safe on any file system, whatever the collection is called."""
        identity = json.dumps([self.tenant, self.collection]).encode()
        return hashlib.sha256(identity).hexdigest()[:32]

    @property
    def generations(self) -> list[Generation]:
        return [found for found in (self.live, self.staged) if found is not None]

    def of(self, key: Key) -> Generation | None:
        return self.staged if key.staged else self.live

    def having(self, key: Key, generation: Generation | None) -> Self:
        if key.staged:
            return replace(self, staged=generation)
        return replace(self, live=generation)

    def swapped(self, old: str, new: Generation) -> Self | None:
        """With `new` where the folder `old` is now; None when it is gone."""
        if self.live is not None and self.live.folder == old:
            return replace(self, live=new)
        if self.staged is not None and self.staged.folder == old:
            return replace(self, staged=new)
        return None


class Catalogue:
    """Reading is from memory; `put` writes through to the disk, and blocks for it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[tuple[str, str], Entry] = {}

    def load(self) -> None:
        """Reads what is there, and removes what no collection owns."""
        for folder in sorted(self._root.iterdir()):
            if not folder.is_dir():
                continue
            file = folder / FILE
            if not file.exists():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            entry = _read(file)
            if entry is not None:
                self._entries[entry.tenant, entry.collection] = entry
                self._sweep(entry)

    def entry(self, key: Key) -> Entry:
        """Of a collection that may not be there yet."""
        found = self._entries.get((key.tenant, key.collection))
        return found or Entry(key.tenant, key.collection)

    def generation(self, key: Key) -> Generation:
        """Raises:
        CollectionMissing: it is not open."""
        generation = self.entry(key).of(key)
        if generation is None:
            raise CollectionMissing("there is no collection of that name")
        return generation

    def names(self, tenant: str) -> Iterator[str]:
        """Of collections that can be searched."""
        for (owner, name), entry in sorted(self._entries.items()):
            if owner == tenant and entry.live is not None:
                yield name

    def put(self, entry: Entry) -> None:
        """`entry` is the truth from here on, whole, even if the machine stops now."""
        folder = self._root / entry.digest
        if entry.generations:
            folder.mkdir(exist_ok=True)
            _replace(folder / FILE, _to_json(entry))
            sync_folder(self._root)
            self._entries[entry.tenant, entry.collection] = entry
        else:
            (folder / FILE).unlink(missing_ok=True)
            sync_folder(folder)
            self._entries.pop((entry.tenant, entry.collection), None)

    async def commit(self, entry: Entry) -> None:
        """`put`, to its end even when the caller is cancelled: half a change is none."""
        writing = asyncio.ensure_future(asyncio.to_thread(self.put, entry))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    def remove(self, folder: str) -> None:
        """Removes a generation that no entry names any more, and its collection's folder with the
        last one."""
        path = self._root / folder
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.parent.rmdir()

    def _sweep(self, entry: Entry) -> None:
        """Only at the start: later, what has no owner may be a graph that is being built."""
        owned = {generation.folder for generation in entry.generations}
        for path in (self._root / entry.digest).iterdir():
            if path.is_dir() and f"{entry.digest}/{path.name}" not in owned:
                shutil.rmtree(path, ignore_errors=True)
            elif not path.is_dir() and path.name != FILE:
                path.unlink(missing_ok=True)


def new_folder(entry: Entry) -> str:
    """A name that nothing had before: what a crash left under it can never be met again."""
    return f"{entry.digest}/{uuid.uuid4().hex[:16]}"


def sync_folder(folder: Path) -> None:
    """Names in `folder` reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path) -> Entry | None:
    try:
        data = json.loads(file.read_bytes())
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']}")
        return Entry(
            data["tenant"],
            data["collection"],
            _generation(data["live"]),
            _generation(data["staged"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Its folder stays: somebody may mend it. Vectors can be made again from the dialogues.
        _log.error("a collection cannot be read and is left out", extra={"why": str(error)})
        return None


def _generation(data: dict[str, Any] | None) -> Generation | None:
    if data is None:
        return None
    return Generation(data["folder"], schema_from_json(data), data["graphed"])


def _to_json(entry: Entry) -> bytes:
    def one(generation: Generation | None) -> dict[str, Any] | None:
        if generation is None:
            return None
        own = {"folder": generation.folder, "graphed": generation.graphed}
        return own | schema_to_json(generation.schema)

    data = {
        "format": FORMAT,
        "tenant": entry.tenant,
        "collection": entry.collection,
        "live": one(entry.live),
        "staged": one(entry.staged),
    }
    return json.dumps(data, indent=1).encode()


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".new")
    with draft.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    sync_folder(file.parent)
