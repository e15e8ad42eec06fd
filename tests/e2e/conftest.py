"""The stack of the starter profile, brought up once for all tests that need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_stack import LocalStack, living, write_profile

_HERE = Path(__file__).parent
# The first test also waits for the stack: at most two minutes on two busy cores, then its own time.
_TIMEOUT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """What a newcomer has after `colloquy up`; tests that break it wait until it is whole again."""
    stack = LocalStack(write_profile(tmp_path_factory.mktemp("stack")))
    up = stack.run("up")
    try:
        assert up.returncode == 0, f"the stack did not come up:\n{up.stdout}{up.stderr}"
        yield stack
        everybody = {one for child in stack.state.children for one in stack.family_of(child.name)}
    finally:
        down = stack.run("down")
    assert down.returncode == 0, down.stderr
    assert not living(everybody), "processes outlived `colloquy down`"
    assert not stack.profile.run_dir.exists(), "sockets outlived `colloquy down`"
