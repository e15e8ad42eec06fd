"""For every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

from colloquy.local import processor

# A busy machine is no finding: bounds of time are tests of their own, and count the processor's.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    # torch's threads wait for each other by spinning. Beside engines, which live as long as the
    # session, a small model's step then takes ten times as long; asleep, they compute the same.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ingest", default="200", help="dialogues of the ingestion that is killed")
    parser.addoption("--kills", default="3", help="kills while it runs")
    parser.addoption(
        "--whole", action="store_true", help="on a stack with all that its profile has"
    )
    parser.addoption(
        "--engine-dtype",
        default="bfloat16" if processor.has_bfloat16() else "float32",
        choices=("bfloat16", "float32"),
        help="what the tests' engine and transformers beside it compute in; as engines do here",
    )
