"""A job as it goes on, from the gateway's events."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from colloquy.cli.failure import CommandFailed
from colloquy.cli.gateway import Gateway, Refused
from colloquy.contracts.collections import FINAL

Job = dict[str, Any]
_LOOK_AGAIN_S = 1.0
_GIVE_UP_AFTER_S = 120.0


def follow(
    gateway: Gateway,
    job: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    give_up_after_s: float = _GIVE_UP_AFTER_S,
) -> Iterator[Job]:
    """Yields the job's state now and whenever it changes, until it has ended.

    Events that break off, as when the gateway is started again, are taken up anew: the job goes on
    meanwhile.

    Raises:
        Refused: there is no such job. CommandFailed: the gateway stays silent.
    """
    heard = time.monotonic()
    while True:
        try:
            state = gateway.get(f"/v1/jobs/{job}")
            heard = time.monotonic()
            yield state
            if state["state"] in FINAL:
                return
            for state in _events(gateway, job):
                heard = time.monotonic()
                yield state
                if state["state"] in FINAL:
                    return
        except Refused:
            raise
        except CommandFailed:
            if time.monotonic() - heard > give_up_after_s:
                raise
        sleep(_LOOK_AGAIN_S)


def last(states: Iterator[Job]) -> Job:
    """The state that a job ended in."""
    *_, state = states
    return state


def _events(gateway: Gateway, job: str) -> Iterator[Job]:
    """The job out of each event's data; what is not a job's state is passed over."""
    with gateway.lines(f"/v1/jobs/{job}/events") as lines:
        data: list[str] = []
        for line in lines:
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                state = _state("\n".join(data))
                data = []
                if state is not None:
                    yield state


def _state(text: str) -> Job | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    is_job = isinstance(value, dict) and "state" in value and "counts" in value
    return value if is_job else None
