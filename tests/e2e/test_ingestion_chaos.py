"""Kills indexer, retriever and everything while dialogues come in, and counts what is there after.

A short run by default, on a part of the profile and beside a double of its engine, which is asked
for nothing; `make chaos` asks for 5,000 dialogues, 20 kills and the whole of it, engines too.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from colloquy.local.processes import Identity, family, processes
from tests.doubles.engine import serve_engine
from tests.e2e.ingestion import COLLECTION, Sender, what_is_left
from tests.e2e.local_stack import LocalStack, living, until, write_profile

WHOLE_AGAIN_WITHIN_S = 300
INGESTED_WITHIN_S = 900
BATCH = 50
EVERYTHING_EVERY = 5


@pytest.fixture
def own_stack(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[LocalStack]:
    """Another than the session's: it is killed as a whole, and its files are read."""
    folder = tmp_path_factory.mktemp("ingestion")
    with serve_engine() as (engine_url, double):
        whole = pytestconfig.getoption("--whole")
        stack = LocalStack(write_profile(folder, engine_url=None if whole else engine_url))
        double.base = stack.profile.engines["starter"].model  # what the stack asks for
        try:
            up = stack.run("up")
            assert up.returncode == 0, up.stdout + up.stderr
            yield stack
        finally:
            stack.run("down")


@pytest.mark.e2e
@pytest.mark.timeout(3_600)
def test_what_was_acknowledged_is_there_exactly_once(
    own_stack: LocalStack, pytestconfig: pytest.Config
) -> None:
    count = int(pytestconfig.getoption("--ingest"))
    kills = int(pytestconfig.getoption("--kills"))
    chance = random.Random(f"{count}/{kills}")
    with own_stack.client() as http:
        created = http.put(f"/v1/collections/{COLLECTION}", json={"kind": "dialogues"})
        assert created.status_code in (200, 201), created.text
    sender = Sender(own_stack, count, BATCH)
    sending = threading.Thread(target=sender.run)
    sending.start()
    try:
        killed = _kill_while(own_stack, sending, kills, chance)
        until(lambda: not sending.is_alive(), within_s=INGESTED_WITHIN_S)
    finally:
        sender.stop.set()
        sending.join()
    assert sum(killed.values()) == kills
    assert killed["everything"]
    assert killed["indexer"]
    assert killed["retriever"]
    assert not sender.refused
    until(own_stack.is_ready, within_s=WHOLE_AGAIN_WITHIN_S)
    until(lambda: _pending(own_stack) == 0, within_s=INGESTED_WITHIN_S)
    told = _collection(own_stack)
    _is_found(own_stack, sender, chance)
    assert own_stack.run("down").returncode == 0

    left = asyncio.run(what_is_left(own_stack))
    for batch in sender.batches:
        ids = {f"chaos-{number}" for number in batch.numbers}
        there = ids & left.dialogues
        if batch.acknowledged:
            assert there == ids, "an acknowledged dialogue is lost"
        else:
            assert there in (set(), ids), "a request that was given up is half there"
    assert left.unfinished == 0
    assert len(left.stored_points) == len(set(left.stored_points)), "a fragment is there twice"
    assert set(left.stored_points) == set(left.ledger_points), "store and ledger disagree"
    assert set(left.stored_dialogues) == left.dialogues
    # Every dialogue is short, so it is one fragment.
    assert len(left.stored_points) == len(left.dialogues)
    assert told["dialogues"] == len(left.dialogues)
    assert told["fragments"] == len(left.stored_points)


def _kill_while(
    stack: LocalStack, sending: threading.Thread, kills: int, chance: random.Random
) -> Counter[str]:
    """Kills at random moments while dialogues are sent; says how often what was killed."""
    killed: Counter[str] = Counter()
    for number in range(kills):
        time.sleep(chance.uniform(0.3, 4.0))
        if number % EVERYTHING_EVERY == EVERYTHING_EVERY - 1 or number == kills - 1:
            _kill_everything(stack)
            killed["everything"] += 1
            up = stack.run("up")
            assert up.returncode == 0, up.stdout + up.stderr
            continue
        name = ("indexer", "retriever")[number % 2]
        until(lambda name=name: _pid_of(stack, name) is not None, within_s=60)
        victims = stack.family_of(name)
        if chance.random() < 0.3:  # one of its processes alone: the store's worker, say
            victims = {chance.choice(sorted(victims))}
        _kill(victims)
        killed[name] += 1
    return killed


def _kill_everything(stack: LocalStack) -> None:
    """Supervisor, engines, services and all that they started, at once."""
    state = stack.state
    everyone = processes()
    doomed = family(everyone, state.supervisor[0], ())
    for child in state.children:
        if child.pid is not None:
            doomed |= family(everyone, child.pid, ())
    _kill(doomed)
    until(lambda: not living(doomed), within_s=30)


def _kill(victims: set[Identity]) -> None:
    for victim in victims:
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _pid_of(stack: LocalStack, name: str) -> int | None:
    state = stack.control.state()
    return None if state is None else next(c.pid for c in state.children if c.name == name)


def _collection(stack: LocalStack) -> dict[str, int]:
    with stack.client() as http:
        answer = http.get(f"/v1/collections/{COLLECTION}")
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, int] = answer.json()
        return found


def _pending(stack: LocalStack) -> int:
    try:
        return _collection(stack)["pending"]
    except (httpx.TransportError, AssertionError):
        return -1


def _is_found(stack: LocalStack, sender: Sender, chance: random.Random) -> None:
    """A search for a few of the acknowledged dialogues finds each of them, once."""
    numbers = [n for batch in sender.batches if batch.acknowledged for n in batch.numbers]
    with stack.client() as http:
        for number in chance.sample(numbers, 20):
            body = {
                "query": f"number {number}",
                "collection": COLLECTION,
                "filter": {"dialogue_id": [f"chaos-{number}"]},
                "rerank": "none",
                "refine": False,
            }
            answer = http.post("/v1/fragments/search", json=body)
            assert answer.status_code == httpx.codes.OK, answer.text
            found = [f["dialogue_id"] for f in answer.json()["fragments"]]
            assert found == [f"chaos-{number}"]
