"""One real engine for the whole session, on the starter checkpoints."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from colloquy.engine.client import EngineClient
from colloquy.profile import Capabilities
from tests import starter
from tests.live_engine import LiveEngine, await_engine, launch_engine


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the starter's base, `fragment` and `split`, to which a test may add."""
    folder = tmp_path_factory.mktemp("registry")
    for task in ("base", "fragment", "split"):
        shutil.copytree(starter.folder_of(task), folder / task / starter.VERSION)
    return folder


@pytest.fixture(scope="session")
def engine_dtype(request: pytest.FixtureRequest) -> str:
    """As engines serve here; in `float32` equal means equal, and no bound hides a bug."""
    return str(request.config.getoption("--engine-dtype"))


@pytest.fixture(scope="session")
def engine(
    registry: Path,
    tmp_path_factory: pytest.TempPathFactory,
    engine_dtype: str,
    request: pytest.FixtureRequest,
) -> Iterator[LiveEngine]:
    """Serves the base; no adapter is loaded at first."""
    folder = tmp_path_factory.mktemp("engine")
    with launch_engine(registry / "base" / starter.VERSION, folder, dtype=engine_dtype) as launched:
        # A start keeps one core busy for half a minute: the other's, if it is wanted, goes beside.
        if any("pooling_engine" in getattr(i, "fixturenames", ()) for i in request.session.items):
            request.getfixturevalue("launched_pooling_engine")
        yield await_engine(launched)


@pytest.fixture(scope="session")
def launched_pooling_engine(
    tmp_path_factory: pytest.TempPathFactory, engine_dtype: str
) -> Iterator[LiveEngine]:
    """Its start has begun."""
    folder = tmp_path_factory.mktemp("pooling")
    with launch_engine(
        starter.folder_of("base"), folder, max_loras=4, runner="pooling", dtype=engine_dtype
    ) as launched:
        yield launched


@pytest.fixture(scope="session")
def pooling_engine(launched_pooling_engine: LiveEngine) -> LiveEngine:
    """Serves the base as a model that embeds; no adapter is loaded at first."""
    return await_engine(launched_pooling_engine)


@pytest.fixture
async def client(engine: LiveEngine) -> AsyncIterator[EngineClient]:
    async with EngineClient(engine.address, capabilities=Capabilities()) as client:
        yield client


@pytest.fixture
async def adapters(client: EngineClient, registry: Path) -> list[str]:
    """`fragment` and `split` of the starter, loaded."""
    loaded = {model.name for model in await client.models()}
    names = [starter.FRAGMENT, starter.SPLIT]
    for name in names:
        if name not in loaded:
            folder = registry / name.replace("@", "/")
            await client.load_adapter(name, str(folder.resolve()))
    return names
