"""The whole retriever, on a tiny random CLIP and doubles of the store and the pooling engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from colloquy.engine.serving.settings import EngineBinding
from colloquy.media.blobs import BlobStore
from colloquy.profile import Task, VllmEngine
from colloquy.sections import ClipSpace, TaskSpace
from services.retriever.settings import Settings, Tuning
from tests.doubles.engine_parts import BASE
from tests.doubles.pooling_engine import PoolingEngineDouble, serve_pooling_engine
from tests.doubles.vector_store import StoreDouble
from tests.integration.retriever.clips import write_checkpoint
from tests.integration.retriever.stack import HOP
from tests.unit.registry.checkpoints import write_adapter, write_base

BLOB_KEY = "blob-key-of-the-tests"
QUICK = Tuning(probe_every_s=0.1, probe_timeout_s=0.3, stuck_after_s=1.5)


@pytest.fixture(scope="session")
def clip_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `clip@1`; tests must not change it."""
    folder = tmp_path_factory.mktemp("clips")
    write_checkpoint(folder)
    return folder


@pytest.fixture
def engine() -> Iterator[tuple[str, PoolingEngineDouble]]:
    with serve_pooling_engine() as served:
        yield served


@pytest.fixture
def store() -> StoreDouble:
    return StoreDouble()


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", BLOB_KEY.encode())
    yield store
    store.close()


@pytest.fixture
def clip_only(clip_registry: Path, blobs: BlobStore, tmp_path: Path) -> Settings:
    """One space, of `clip@1`."""
    return Settings(
        listen="127.0.0.1:0",
        spaces={"clip": ClipSpace(kind="open_clip", model="clip@1")},
        tasks={},
        engines={},
        registry=[clip_registry],
        state=tmp_path / "state",
        blobs=tmp_path / "blobs",
        blob_key=SecretStr(BLOB_KEY),
        hop_secret=SecretStr(HOP),
        tuning=QUICK,
    )


@pytest.fixture
def both(clip_only: Settings, engine: tuple[str, PoolingEngineDouble], tmp_path: Path) -> Settings:
    """That, and a space of `embed@1`, an adapter on a pooling engine."""
    registry = tmp_path / "registry"
    write_base(registry)
    write_adapter(registry, task="embed", protocol="lamra")
    served = VllmEngine(
        runtime="vllm",
        model=BASE,
        runner="pooling",
        max_model_len=2_000,
        max_running=6,
        max_waiting=8,
        max_images=4,
        max_adapters=1,
    )
    return clip_only.model_copy(
        update={
            "spaces": {**clip_only.spaces, "lamra": TaskSpace(kind="task")},
            "tasks": {"embed": Task(engine="e", checkpoint="embed", protocol="lamra")},
            "engines": {"e": EngineBinding(engine=served, address=engine[0])},
            "registry": [registry, *clip_only.registry],
        }
    )
