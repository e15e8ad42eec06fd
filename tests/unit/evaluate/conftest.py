import pytest

from training.data.world import splits
from training.data.world.splits import Sample


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    return [splits.sample("validation", number) for number in range(12)]
