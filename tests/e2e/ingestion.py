"""Ingestion under kill -9: what is sent, what is killed, and how what is left is counted."""

import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.retriever.domain import Key, Where
from services.retriever.settings import Tuning
from services.retriever.vector_stores import open_store
from tests.e2e.local_stack import LocalStack

COLLECTION = "chaos"
TENANT = "local"
_PAUSE_S = 0.3
_WORDS = [
    "kite",
    "rain",
    "bread",
    "train",
    "garden",
    "letter",
    "winter",
    "piano",
    "coffee",
    "river",
    "market",
    "bicycle",
    "school",
    "window",
    "lemon",
    "candle",
    "mountain",
    "ticket",
    "blanket",
    "harbour",
]


def dialogue(number: int) -> dict[str, Any]:
    """Short, so that no model has to split it, and like no other."""
    chance = random.Random(number)
    words = chance.sample(_WORDS, 6)
    return {
        "id": f"chaos-{number}",
        "utterances": [
            {"speaker": "user1", "content": f"number {number}: the {words[0]} and the {words[1]}"},
            {"speaker": "user2", "content": f"no, the {words[2]} by the {words[3]}"},
            {"speaker": "user1", "content": f"then {words[4]} or {words[5]}"},
        ][: chance.randint(1, 3)],
    }


@dataclass
class Batch:
    """One request's dialogues; `acknowledged` when its 202 was read."""

    numbers: Sequence[int]
    insisted: bool
    tried: int = 0
    acknowledged: bool = False


@dataclass
class Sender:
    """Sends batches while the stack is being killed.

    Of every four batches one is given up after its first failure, as by a client that went away:
    such a batch may be there, but whole or not at all. The others insist, under one
    idempotency key.
    """

    stack: LocalStack
    count: int
    batch_size: int
    batches: list[Batch] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        for place, batch in enumerate(self._cut()):
            self.batches.append(batch)
            key = f"chaos-{place}"
            while not self.stop.is_set():
                batch.tried += 1
                batch.acknowledged = self._send(batch, key)
                if batch.acknowledged or not batch.insisted:
                    break
                time.sleep(_PAUSE_S)

    @property
    def sent(self) -> int:
        return sum(len(batch.numbers) for batch in self.batches)

    def _cut(self) -> Iterator[Batch]:
        for place, at in enumerate(range(0, self.count, self.batch_size)):
            numbers = range(at, min(self.count, at + self.batch_size))
            yield Batch(numbers, insisted=place % 4 != 3)

    def _send(self, batch: Batch, key: str) -> bool:
        lines = "".join(json.dumps(dialogue(number)) + "\n" for number in batch.numbers)
        state = self.stack.control.state()
        if state is None:
            return False
        headers = {
            "authorization": f"Bearer {state.page_token}",
            "content-type": "application/x-ndjson",
            "idempotency-key": key,
        }
        try:
            answer = httpx.post(
                f"{state.api_url}/v1/collections/{COLLECTION}/dialogues",
                content=lines,
                headers=headers,
                timeout=30,
                trust_env=False,
            )
        except httpx.TransportError:
            return False
        if answer.status_code not in (202, 401, 502, 503, 504):
            self.refused.append(f"{answer.status_code} {answer.text[:200]}")
        return answer.status_code == 202


@dataclass(frozen=True, slots=True)
class Left:
    """What is in the ledger and in the store when everything is down."""

    dialogues: set[str]
    ledger_points: list[str]
    stored_points: list[str]
    stored_dialogues: list[str]
    unfinished: int


async def what_is_left(stack: LocalStack) -> Left:
    """Reads ledger and store past the services, which are down."""
    state = stack.profile.state_dir
    ledger = _ledger_of(state)
    assert stack.profile.retriever is not None
    tuning = Tuning.model_validate(stack.profile.retriever)
    points: list[Any] = []
    async with open_store(tuning.store, state) as store:
        cursor = None
        while True:
            page, cursor = await store.scroll(Key(TENANT, COLLECTION), Where(), 1_000, cursor)
            points += page
            if cursor is None:
                break
    return Left(
        dialogues=ledger[0],
        ledger_points=ledger[1],
        stored_points=[str(point.id) for point in points],
        stored_dialogues=[point.payload["dialogue_id"] for point in points],
        unfinished=ledger[2],
    )


def _ledger_of(state: Path) -> tuple[set[str], list[str], int]:
    """Ids of indexed dialogues, ids of their points, and how many are not finished."""
    with sqlite3.connect(state / "ledger.sqlite") as db:
        dialogues = {row[0] for row in db.execute("SELECT id FROM dialogues")}
        points = [row[0] for row in db.execute("SELECT point FROM fragments")]
        unfinished = db.execute(
            "SELECT count(*) FROM items WHERE state IN ('queued', 'running')"
        ).fetchone()[0]
    return dialogues, points, unfinished
