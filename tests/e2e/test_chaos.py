"""Kills what can be killed in a real stack, and watches it come back."""

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from colloquy.local.processes import Identity, title_of
from tests.e2e.local_stack import STUCK_AFTER_S, LocalStack, living, until

QUESTION = {
    "query": "the cake for grandma",
    "dialogue": {
        "utterances": [
            {"speaker": "user1", "content": "Shall we bake the cake for grandma on Sunday?"},
            {"speaker": "user2", "content": "Yes, with lemon."},
            {"speaker": "user1", "content": "My train is late again."},
        ]
    },
}
SERVICE_BACK_WITHIN_S = 15
ENGINE_BACK_WITHIN_S = 150
RED_WITHIN_S = 5
# The supervisor waits before it gives up on an engine that is alive.
STUCK_BACK_WITHIN_S = ENGINE_BACK_WITHIN_S + STUCK_AFTER_S + 15


@pytest.fixture
def whole(stack: LocalStack) -> Iterator[LocalStack]:
    """The stack before, and again after, the damage."""
    until(stack.is_ready, within_s=ENGINE_BACK_WITHIN_S)
    yield stack
    until(stack.is_ready, within_s=STUCK_BACK_WITHIN_S)


def ask(http: httpx.Client) -> httpx.Response:
    return http.post("/v1/fragments/search", json=QUESTION)


def answers(http: httpx.Client) -> bool:
    try:
        return ask(http).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def readiness(http: httpx.Client) -> int:
    return http.get("/readyz").status_code


def engine_name(stack: LocalStack) -> str:
    return f"engine-{stack.profile.tasks['fragment'].engine}"


def core_of(family: set[Identity]) -> Identity:
    """The process that schedules the engine's work."""
    return next(one for one in family if "EngineCore" in title_of(one.pid))


@pytest.mark.parametrize("service", ["generator", "gateway"])
def test_a_killed_service_serves_again_soon(whole: LocalStack, service: str) -> None:
    with whole.client() as http:
        assert answers(http)
        pid = whole.child(service).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        until(lambda: answers(http), within_s=SERVICE_BACK_WITHIN_S)
    assert whole.child(service).pid != pid


@pytest.mark.parametrize("victim", ["api server", "core"])
def test_a_killed_engine_is_red_soon_and_serves_again(whole: LocalStack, victim: str) -> None:
    engine = engine_name(whole)
    server = whole.child(engine).pid
    family = whole.family_of(engine)
    assert server is not None
    pid = server if victim == "api server" else core_of(family).pid
    with whole.client() as http:
        assert answers(http)
        os.kill(pid, signal.SIGKILL)
        until(lambda: readiness(http) == httpx.codes.SERVICE_UNAVAILABLE, within_s=RED_WITHIN_S)
        refused = ask(http)
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["detail"]
        until(lambda: answers(http), within_s=ENGINE_BACK_WITHIN_S)
    assert not living(family), "parts of the killed engine outlived it"


def test_an_engine_that_is_stuck_is_red_soon_and_started_again(whole: LocalStack) -> None:
    engine = engine_name(whole)
    family = whole.family_of(engine)
    with whole.client() as http:
        os.kill(core_of(family).pid, signal.SIGSTOP)
        until(lambda: readiness(http) == httpx.codes.SERVICE_UNAVAILABLE, within_s=RED_WITHIN_S)
        until(lambda: answers(http), within_s=STUCK_BACK_WITHIN_S)
    assert not living(family)


def test_a_second_up_says_that_it_is_up_and_changes_nothing(whole: LocalStack) -> None:
    before = whole.state.supervisor
    again = whole.run("up")
    assert again.returncode == 0
    assert "it is up already" in again.stdout
    assert whole.token in again.stdout
    assert whole.state.supervisor == before


def test_status_tells_a_machine_everything_but_the_token(whole: LocalStack) -> None:
    told = whole.run("status", "--json")
    assert told.returncode == 0
    assert '"ready": true' in told.stdout
    assert '"uptime_s"' in told.stdout
    assert whole.token not in told.stdout
