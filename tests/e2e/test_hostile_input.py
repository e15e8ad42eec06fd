"""Bad input to the whole stack: refused in its own words, the next request served at once."""

from collections.abc import Iterator

import httpx
import pytest

from tests.doubles.hostile import Hostile, cases, check_refusal, check_served_at_once
from tests.e2e.local_stack import LocalStack, until

pytestmark = pytest.mark.e2e

# What was long keeps an engine from its probes for some seconds, on a slow machine for many.
_WELL_AGAIN_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def before(stack: LocalStack) -> dict[str, int | None]:
    """The process of every child before the first bad input."""
    return pids(stack)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_bad_input_gets_its_own_problem(
    stack: LocalStack, http: httpx.Client, before: dict[str, int | None], case: Hostile
) -> None:
    headers = {name: text.format(token=stack.token) for name, text in case.headers.items()}

    reply = http.post(case.path, content=case.body(), headers=headers)

    check_refusal(reply, case)
    check_served_at_once(http, within_s=10.0)


def test_nobody_suffered(
    stack: LocalStack, http: httpx.Client, before: dict[str, int | None]
) -> None:
    """After all of it every process is the one that was started, and everything is ready."""
    until(stack.is_ready, within_s=_WELL_AGAIN_WITHIN_S)
    assert http.get("/readyz").json()["ready"] is True
    assert pids(stack) == before


def pids(stack: LocalStack) -> dict[str, int | None]:
    return {child.name: child.pid for child in stack.state.children}
