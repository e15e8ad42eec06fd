"""Killed at any moment, an indexer loses nothing that was accepted and does nothing twice."""

import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.indexer.domain import point_id
from tests.doubles.generator import GeneratorDouble
from tests.doubles.retriever import RetrieverDouble
from tests.integration.indexer.processes import Processes, processes
from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    doubles,
    long_talk,
    running_indexer,
    serving,
    talk,
    wait_for,
)

pytestmark = pytest.mark.integration
KILLS = 5
Crashing = tuple[Processes, RetrieverDouble, GeneratorDouble]


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Crashing]:
    state = Path(tempfile.mkdtemp(prefix="cq"))  # short: a socket is in it
    try:
        with (
            doubles() as (retriever, found, generator, written),
            processes(tmp_path, state, found, written) as indexers,
        ):
            yield indexers, retriever, generator
    finally:
        shutil.rmtree(state)


def post(http: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = http.post(path, json={"tenant": TENANT, "collection": SHELF} | body)
    reply.raise_for_status()
    answer: dict[str, Any] = reply.json()
    return answer


def send(http: httpx.Client, told: list[dict[str, Any]], key: str) -> str:
    """Returns when all of it is acknowledged."""
    opened = post(http, "/v1/jobs/open", body_sha256="0" * 64, idempotency_key=key)
    job: str = opened["job"]
    if not opened["sealed"]:
        items = [{"position": n, "dialogue": dialogue} for n, dialogue in enumerate(told)]
        for start in range(0, len(items), 20):
            part = {"tenant": TENANT, "job": job, "items": items[start : start + 20]}
            http.post("/v1/jobs/items", json=part).raise_for_status()
        http.post("/v1/jobs/seal", json={"tenant": TENANT, "job": job}).raise_for_status()
    return job


def version(number: int, of: int) -> dict[str, Any]:
    """Dialogues of one and of several fragments; a later version has another length."""
    if number % 3:
        return talk(f"d{number}", f"version {of} of {number}")
    return long_talk(f"d{number}", 13 + (number * 7 + of * 11) % 30, f"version {of} turn")


def test_after_every_kill_what_was_acknowledged_is_there_exactly_once(crashing: Crashing) -> None:
    indexers, retriever, _ = crashing
    retriever.delay_s = 0.02
    choose = random.Random(3)
    acknowledged: dict[int, int] = {}
    indexers.start()
    with indexers.client() as http:
        http.post("/v1/collections/put", json={"tenant": TENANT, "collection": SHELF, "spec": {}})
    for kill in range(KILLS):
        numbers = sorted(choose.sample(range(90), 45))
        with indexers.client() as http:
            send(http, [version(n, kill) for n in numbers], f"k{kill}")
        acknowledged |= dict.fromkeys(numbers, kill)
        with indexers.client() as http:  # this one is not acknowledged when the blow falls
            opened = post(http, "/v1/jobs/open", body_sha256="1" * 64, idempotency_key=f"x{kill}")
            items = [{"position": 0, "dialogue": talk(f"half{kill}", "never sealed")}]
            part = {"tenant": TENANT, "job": opened["job"], "items": items}
            http.post("/v1/jobs/items", json=part).raise_for_status()
        time.sleep(choose.uniform(0.0, 0.5))
        indexers.kill()
        indexers.start()

    with indexers.client() as http:
        wait_for(lambda: http.get("/v1/summary").json()["pending"] == 0, within_s=40)
        summary = http.get("/v1/summary").json()
        stored = {
            n: post(http, "/v1/dialogues/get", dialogue_id=f"d{n}") for n in sorted(acknowledged)
        }

    records = retriever.records(TENANT, SHELF)
    assert (summary["dialogues"], summary["failed"]) == (len(acknowledged), 0)
    assert summary["fragments"] == len(records)
    by_dialogue: Counter[str] = Counter(record.dialogue_id for record in records)
    for number, of in acknowledged.items():
        expected, found = version(number, of), stored[number]
        said = [turn["content"] for turn in expected["utterances"]]
        assert [turn["content"] for turn in found["dialogue"]["utterances"]] == said
        assert by_dialogue[f"d{number}"] == len(found["fragments"])
        searched = [t for r in records if r.dialogue_id == f"d{number}" for t in r.utterances]
        assert [turn.content for turn in searched] == said
    assert not any(name.startswith("half") for name in by_dialogue)
    for record in records:
        assert record.id == point_id(TENANT, SHELF, record.dialogue_id, record.number)


def test_erasing_and_reindexing_go_on_after_every_kill(crashing: Crashing) -> None:
    indexers, retriever, _ = crashing
    choose = random.Random(5)
    indexers.start()
    with indexers.client() as http:
        http.post("/v1/collections/put", json={"tenant": TENANT, "collection": SHELF, "spec": {}})
        send(http, [version(n, 0) for n in range(120)], "k")
        wait_for(lambda: http.get("/v1/summary").json()["pending"] == 0, within_s=40)
    retriever.delay_s = 0.05
    retriever.models["clip"] = "clip@2"
    with indexers.client() as http:
        jobs = [post(http, "/v1/reindex")["id"]]
        reply = http.post("/v1/erase", json={"tenant": TENANT, "what": {"speaker": "Ana"}})
        jobs.append(reply.json()["id"])
    for _ in range(3):
        time.sleep(choose.uniform(0.1, 0.6))
        indexers.kill()
        indexers.start()
    retriever.delay_s = 0.0

    def state(http: httpx.Client, job: str) -> str:
        asked = {"tenant": TENANT, "job": job}
        return str(http.post("/v1/jobs/get", json=asked).json()["state"])

    with indexers.client() as http:
        wait_for(lambda: {state(http, job) for job in jobs} == {"done"}, within_s=40)
        summary = http.get("/v1/summary").json()

    records = retriever.records(TENANT, SHELF)
    assert retriever.held.keys() == {(TENANT, SHELF, False)}
    assert retriever.held[TENANT, SHELF, False].spaces == {"clip": "clip@2"}
    assert not any(turn.speaker == "Ana" for record in records for turn in record.utterances)
    assert summary["fragments"] == len(records)
    # Of one turn by one speaker nothing is left to find.
    assert {record.dialogue_id for record in records} == {f"d{n}" for n in range(0, 120, 3)}


def test_what_is_sealed_survives_at_once(crashing: Crashing) -> None:
    indexers, retriever, _ = crashing
    indexers.start()
    with indexers.client() as http:
        http.post("/v1/collections/put", json={"tenant": TENANT, "collection": SHELF, "spec": {}})
        job = send(http, [talk(f"d{n}", "x") for n in range(100)], "k")
        indexers.kill()
    indexers.start()
    with indexers.client() as http:
        assert send(http, [talk(f"d{n}", "x") for n in range(100)], "k") == job
        wait_for(lambda: len(retriever.records(TENANT, SHELF)) == 100)
        wait_for(lambda: http.get("/v1/summary").json()["jobs"] == {"done": 1})


def test_it_ends_at_sigterm_and_gives_back_what_it_held(crashing: Crashing) -> None:
    indexers, retriever, _ = crashing
    process = indexers.start()
    retriever.delay_s = 1.0
    with indexers.client() as http:
        http.post("/v1/collections/put", json={"tenant": TENANT, "collection": SHELF, "spec": {}})
        send(http, [talk(f"d{n}", "x") for n in range(30)], "k")
    process.terminate()

    assert process.wait(timeout=20) == 0
    with sqlite3.connect(indexers.path.parents[1] / "ledger.sqlite") as db:
        states = dict(db.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall())
    db.close()
    assert "running" not in states
    assert sum(states.values()) == 30


def test_two_indexers_share_the_work_and_do_nothing_twice(tmp_path: Path) -> None:
    with running_indexer(tmp_path, in_flight=8) as one:
        one.shelf()
        one.retriever.delay_s = 0.2  # one alone needs seconds for it, also on a slow machine
        with serving(one.settings, one.retriever, one.generator) as two:
            told = [version(n, 0) for n in range(200)]
            told += [version(n, 1) for n in range(0, 200, 5)]
            counts = one.ended(one.send(told), within_s=40)["counts"]

            assert counts["indexed"] == 240
            wait_for(lambda: done_by(one) + done_by(two) == 240)  # counted after it is written
            assert min(done_by(one), done_by(two)) > 0  # how they share it is the machine's matter
    searched = {r.dialogue_id: r for r in one.searched()}
    assert len(searched) == 200
    for number in range(200):
        expected = version(number, 0 if number % 5 else 1)["utterances"][0]["content"]
        assert searched_first(one, number) == expected


def searched_first(indexer: RunningIndexer, number: int) -> str:
    return str(indexer.searched(f"d{number}")[0].utterances[0].content)


def done_by(indexer: RunningIndexer) -> int:
    """Items that this one indexed; its metrics have no line before the first."""
    shown = indexer.http.get("/metrics").text.splitlines()
    counted = [x for x in shown if x.startswith('indexer_items_total{action="put",outcome="ind')]
    return sum(int(float(line.rpartition(" ")[2])) for line in counted)


def test_a_lease_that_ends_is_counted_and_taken_over(tmp_path: Path) -> None:
    with running_indexer(tmp_path, lease_s=1.0) as indexer:
        indexer.shelf()
        indexer.retriever.delay_s = 3.0
        job = indexer.send([talk("a", "x")])
        ledger = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        with closing(ledger) as db:
            taken_away = (
                "UPDATE items SET lease_owner = 'a dead one', lease_until = 1 "
                "WHERE state = 'running'"
            )
            wait_for(lambda: db.execute(taken_away).rowcount > 0)
        expired = "indexer_lease_expiries_total 1.0"
        wait_for(lambda: expired in indexer.http.get("/metrics").text)
        indexer.retriever.delay_s = 0.0

        assert indexer.ended(job)["counts"]["indexed"] == 1
        assert len(indexer.searched()) == 1
