"""The whole generator, over an engine double."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from colloquy.media.blobs import BlobStore
from colloquy.profile import OpenAIEngine, Task, VllmEngine
from services.generator.settings import EngineBinding, Settings, Tuning
from tests.doubles.engine import EngineDouble, serve_engine
from tests.doubles.engine_parts import BASE
from tests.integration.generator.stack import HOP
from tests.unit.registry.checkpoints import write_adapter, write_base

BLOB_KEY = "blob-key-of-the-tests"
QUICK = Tuning(probe_every_s=0.1, probe_timeout_s=0.3, stuck_after_s=1.5)


@pytest.fixture
def engine() -> Iterator[tuple[str, EngineDouble]]:
    with serve_engine() as served:
        yield served


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    write_base(folder)
    write_adapter(folder, task="fragment")
    write_adapter(folder, task="split")
    return folder


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", BLOB_KEY.encode())
    yield store
    store.close()


@pytest.fixture
def settings(engine: tuple[str, EngineDouble], registry: Path, blobs: BlobStore) -> Settings:
    """Both tasks by adapters on one vLLM engine."""
    served = VllmEngine(
        runtime="vllm",
        model=BASE,
        max_model_len=4_096,
        max_running=4,
        max_waiting=8,
        max_images=16,
        max_adapters=2,
    )
    return Settings(
        listen="127.0.0.1:0",
        tasks={
            task: Task(engine="e", checkpoint=task, protocol="f2rvlm")
            for task in ("fragment", "split")
        },
        engines={"e": EngineBinding(engine=served, address=engine[0])},
        registry=[registry],
        blobs=registry.parent / "blobs",
        blob_key=SecretStr(BLOB_KEY),
        hop_secret=SecretStr(HOP),
        tuning=QUICK,
    )


@pytest.fixture
def foreign(settings: Settings, engine: tuple[str, EngineDouble]) -> Settings:
    """Both tasks zero-shot on somebody else's server, without grammars."""
    server = OpenAIEngine(runtime="openai", url=engine[0], model=BASE)
    return settings.model_copy(
        update={
            "tasks": {
                task: Task(engine="e", protocol="f2rvlm", tolerant=True)
                for task in ("fragment", "split")
            },
            "engines": {"e": EngineBinding(engine=server, address=engine[0])},
        }
    )
