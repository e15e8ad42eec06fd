"""The embedding spaces of collections, and the stores that are not ours to start."""

import os
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from colloquy.local.checks.finding import Finding, failed, ok, warning
from colloquy.profile import ClipSpace, Profile
from colloquy.registry.store import CheckpointBroken, CheckpointMissing, Registry

_REACHED_WITHIN_S = 3.0
_POSTGRES_PORT = 5432


def check_spaces(profile: Profile) -> Iterator[Finding]:
    """Each space's model can be computed, as far as it is this machine's to compute it."""
    if profile.retriever is None:
        yield ok("collections", "none: the profile has no retriever and no indexer")
        return
    for name, space in profile.spaces.items():
        about = f"space {name}"
        if not isinstance(space, ClipSpace):
            yield ok(about, f"task {space.task}, on engine {profile.tasks[space.task].engine}")
        elif find_spec("open_clip") is None:
            yield failed(about, "open_clip is not installed; run `make setup`")
        else:
            yield _check_clip(profile, about, name, space)


def check_stores(profile: Profile) -> Iterator[Finding]:
    """A Qdrant or PostgreSQL server that the profile names answers on its port."""
    store = (profile.retriever or {}).get("store") or {}
    if store.get("url"):
        yield _check_server("vector store", store["url"], 6333)
        yield from _check_secret("vector store key", store.get("api_key_secret"))
    indexer = profile.indexer or {}
    if str(indexer.get("ledger", "")).startswith("postgresql"):
        yield _check_server("ledger", indexer["ledger"], _POSTGRES_PORT)
        yield from _check_secret("ledger password", indexer.get("ledger_password_secret"))


def _check_clip(profile: Profile, about: str, name: str, space: ClipSpace) -> Finding:
    if Path(space.model).is_dir():
        return ok(about, f"{space.model}, a folder of open_clip's form")
    if "/" in space.model:
        return warning(about, f"{space.model}: open_clip downloads it unless it is in its cache")
    registry = Registry(profile.registry_dirs)
    try:
        checkpoint = registry.resolve(space.model)
        registry.verify(checkpoint)
    except (CheckpointMissing, CheckpointBroken) as error:
        return failed(about, f"spaces/{name}/model: {error}")
    if checkpoint.manifest.protocol != "open_clip":
        return failed(about, f"spaces/{name}/model: {checkpoint.name} is no open_clip checkpoint")
    return ok(about, f"{checkpoint.name}, every hash as it should be")


def _check_server(about: str, url: str, usual_port: int) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or usual_port
    try:
        with socket.create_connection((host, port), timeout=_REACHED_WITHIN_S):
            return ok(about, f"{host}:{port} answers")
    except OSError as error:
        return failed(about, f"{host}:{port} cannot be reached: {error.strerror or error}")


def _check_secret(about: str, variable: str | None) -> Iterator[Finding]:
    if variable is None:
        return
    if os.environ.get(variable):
        yield ok(about, f"in {variable}")
    else:
        yield failed(about, f"the environment has no {variable}")
