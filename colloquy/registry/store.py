"""The registry on disk: `<folder>/<task>/<version>/manifest.json` and the files it lists."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from colloquy.registry.manifest import MANIFEST, NAME, VERSION, Manifest

PROMOTED = "promoted"
_CODE = {".py", ".pyc", ".so"}
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"}
_BLOCK_BYTES = 1 << 20


class CheckpointMissing(Exception):
    """No checkpoint has that name; the message is one line."""


class CheckpointBroken(Exception):
    """A checkpoint's files are not what its manifest says, or may not be used; one line."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Task and version, `fragment@3`."""
        return self.manifest.name

    @property
    def weights(self) -> Path:
        return self.folder / self.manifest.weights


class Registry:
    """Finds checkpoints in several folders; earlier ones win."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(folders)

    def resolve(self, name: str) -> Checkpoint:
        """Finds `fragment@3`, or with a bare `fragment` the version that is promoted.

        Without a promotion a bare name is the highest version of the *last* folder that has the
        task: the one that ships with the product. What training published beside it stays unused
        until somebody promotes it.

        Raises:
            CheckpointMissing: there is none. CheckpointBroken: its manifest cannot be read.
        """
        task, _, version = name.partition("@")
        if not re.match(NAME, task) or (version and not re.match(VERSION, version)):
            raise CheckpointMissing(f"`{name}` is not the name of a checkpoint")
        version = version or self._promoted(task) or self._shipped(task)
        for folder in self._folders:
            place = folder / task / version
            if (place / MANIFEST).is_file():
                return _read(place, task, version)
        raise CheckpointMissing(f"the registry has no checkpoint `{task}@{version}`")

    def versions(self, task: str) -> list[str]:
        """Every version of `task`, oldest first."""
        found = {version for folder in self._folders for version in _versions(folder / task)}
        return sorted(found, key=_age)

    def verify(self, checkpoint: Checkpoint) -> None:
        """Hashes every file, and refuses what could run as code.

        Raises:
            CheckpointBroken: names the file and the reason.
        """
        listed = checkpoint.manifest.files
        for path in listed:
            _check_path(checkpoint, path)
        if checkpoint.manifest.weights not in listed:
            raise CheckpointBroken(f"{checkpoint.name}: the manifest does not list its weights")
        present = dict(_files(checkpoint))
        for path in sorted(present.keys() - listed.keys()):
            raise CheckpointBroken(f"{checkpoint.name}: `{path}` is not in the manifest")
        for path, expected in sorted(listed.items()):
            if path not in present:
                raise CheckpointBroken(f"{checkpoint.name}: `{path}` is missing")
            if _sha256(present[path]) != expected:
                raise CheckpointBroken(f"{checkpoint.name}: `{path}` has another hash")
            if path.endswith(".json"):
                _refuse_auto_map(checkpoint, path, present[path])

    def _promoted(self, task: str) -> str | None:
        for folder in self._folders:
            try:
                version = (folder / task / PROMOTED).read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                continue
            if not re.match(VERSION, version):
                raise CheckpointBroken(f"{task}: the promoted version's name is not one")
            return version
        return None

    def _shipped(self, task: str) -> str:
        for folder in reversed(self._folders):
            versions = sorted(_versions(folder / task), key=_age)
            if versions:
                return versions[-1]
        raise CheckpointMissing(f"the registry has no checkpoint of `{task}`")


def _read(place: Path, task: str, version: str) -> Checkpoint:
    try:
        manifest = Manifest.read(place)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(map(str, first["loc"])) or MANIFEST
        raise CheckpointBroken(
            f"{task}@{version}: the manifest does not hold: {where}: {first['msg']}"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointBroken(f"{task}@{version}: the manifest cannot be read") from error
    if (manifest.task, manifest.version) != (task, version):
        raise CheckpointBroken(f"{task}@{version}: the manifest is that of `{manifest.name}`")
    return Checkpoint(place, manifest)


def _versions(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [place.name for place in folder.iterdir() if (place / MANIFEST).is_file()]


def _age(version: str) -> list[tuple[int, int, str]]:
    """Sorts 10 after 9."""
    return [
        (1, int(piece), "") if piece.isdecimal() else (0, 0, piece)
        for piece in re.split(r"(\d+)", version)
        if piece
    ]


def _check_path(checkpoint: Checkpoint, path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path:
        raise CheckpointBroken(f"{checkpoint.name}: `{path}` is not a path inside the checkpoint")
    if pure.suffix in _CODE:
        raise CheckpointBroken(f"{checkpoint.name}: `{path}` is code")
    if pure.suffix in _PICKLES:
        raise CheckpointBroken(f"{checkpoint.name}: `{path}` is not safetensors")


def _files(checkpoint: Checkpoint) -> Iterator[tuple[str, Path]]:
    """Every file in the checkpoint's folder but its manifest; links are refused."""
    for path in checkpoint.folder.rglob("*"):
        relative = path.relative_to(checkpoint.folder).as_posix()
        if path.is_symlink():
            raise CheckpointBroken(f"{checkpoint.name}: `{relative}` is a link")
        if path.is_file() and relative != MANIFEST:
            yield relative, path
        elif not path.is_dir() and relative != MANIFEST:
            raise CheckpointBroken(f"{checkpoint.name}: `{relative}` is not a plain file")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _refuse_auto_map(checkpoint: Checkpoint, path: str, file: Path) -> None:
    """`auto_map` makes loaders import code, some of them even when told not to trust it."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointBroken(f"{checkpoint.name}: `{path}` is not JSON") from error
    if _has_key(content, "auto_map"):
        raise CheckpointBroken(f"{checkpoint.name}: `{path}` has `auto_map`, which runs code")


def _has_key(value: Any, key: str) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if key in item:
                return True
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return False
