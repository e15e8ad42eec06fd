"""The whole reranker, over an engine double."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from colloquy.media.blobs import BlobStore
from colloquy.profile import Task, VllmEngine
from services.reranker.settings import EngineBinding, Settings, Tuning
from tests.doubles.engine import EngineDouble, serve_engine
from tests.doubles.engine_parts import BASE
from tests.integration.reranker.stack import HOP
from tests.unit.registry.checkpoints import write_adapter, write_base

BLOB_KEY = "blob-key-of-the-tests"
QUICK = Tuning(probe_every_s=0.1, probe_timeout_s=0.3, stuck_after_s=1.5)


@pytest.fixture
def served() -> Iterator[tuple[str, EngineDouble]]:
    with serve_engine() as served:
        yield served


@pytest.fixture
def engine(served: tuple[str, EngineDouble]) -> EngineDouble:
    return served[1]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    write_base(folder)
    write_adapter(folder, task="rank", protocol="lamra")
    return folder


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", BLOB_KEY.encode())
    yield store
    store.close()


@pytest.fixture
def settings(served: tuple[str, EngineDouble], registry: Path, blobs: BlobStore) -> Settings:
    """By an adapter on a vLLM engine."""
    engine = VllmEngine(
        runtime="vllm",
        model=BASE,
        max_model_len=4_096,
        max_running=4,
        max_waiting=13,
        max_images=4,
        max_adapters=1,
    )
    return Settings(
        listen="127.0.0.1:0",
        task=Task(engine="e", checkpoint="rank", protocol="lamra", family="qwen2.5-vl"),
        engine=EngineBinding(engine=engine, address=served[0]),
        registry=[registry],
        blobs=registry.parent / "blobs",
        blob_key=SecretStr(BLOB_KEY),
        hop_secret=SecretStr(HOP),
        tuning=QUICK,
    )
