"""Requests at a constant rate of arrival: searches in dialogues that travel with them (`Asker`), or
ingestions and searches in one collection (`Keeper`).

`python -m loadtests` runs it and knows the defaults. Each simulated user asks rarely, at a steady
beat, and there are many: so the rate of arrival stays as asked while answers get slower, up to
`BEAT_S`, and slowness shows as time and not as fewer requests.
"""

import json
import os
import time
from argparse import Namespace
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtests import corpus
from loadtests.shelf import COLLECTION, Shelf, authorized
from loadtests.talks import read_samples, searches
from loadtests.verdict import Outcome, Thresholds

BEAT_S = 10.0
SEARCH = "/v1/fragments/search"


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    bounds = Thresholds()
    parser.add_argument("--rate", type=float, default=1.0, help="arrivals per second")
    parser.add_argument("--samples", default="starter/samples/dialogues.json")
    # By the environment: arguments are seen by everybody on the machine.
    parser.add_argument("--key", default=os.environ.get("COLLOQUY_API_KEY", ""))
    parser.add_argument("--scenario", choices=["dialogues", "corpus"], default="dialogues")
    parser.add_argument("--settle-s", type=float, default=bounds.settle_s)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--p95-ms", type=float, default=bounds.p95_ms)
    parser.add_argument("--error-share", type=float, default=bounds.error_share)
    parser.add_argument("--offered-share", type=float, default=bounds.offered_share)
    parser.add_argument("--report", default="loadtests/report/report.json")


class Run:
    """What the users share in one run."""

    def __init__(self, options: Namespace) -> None:
        self.started_s = time.monotonic()
        self.problems: Counter[str] = Counter()
        self.headers = authorized(options.key)
        self._samples = read_samples(Path(options.samples))
        self._seed = options.seed
        self._users = 0
        self.shelf = None
        if options.scenario == "corpus":
            self.shelf = Shelf(options.host.rstrip("/"), self.headers)

    def searches_of_next_user(self) -> Any:
        return searches(self._samples, seed=self._next_seed())

    def corpus_of_next_user(self) -> Any:
        return corpus.requests(self._samples, COLLECTION, seed=self._next_seed())

    def _next_seed(self) -> int:
        self._users += 1
        return self._seed * 100_003 + self._users


@events.init.add_listener
def look_at_the_clock(**_: Any) -> None:
    """Timers count from when the loop last looked at it: without this, importing takes off the
    run's time, on a busy machine all of it."""
    gevent.get_hub().loop.update_now()


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    environment.colloquy_run = Run(environment.parsed_options)


class Asker(FastHttpUser):
    """Somebody who searches now and then."""

    wait_time = constant_throughput(1 / BEAT_S)
    connection_timeout = 120.0
    network_timeout = 120.0

    def on_start(self) -> None:
        self._run: Run = self.environment.colloquy_run
        self._searches = self._run.searches_of_next_user()

    @task
    def search(self) -> None:
        search = next(self._searches)
        with self.client.post(
            SEARCH,
            json=search.body,
            headers=self._run.headers,
            name=f"{SEARCH} ({search.kind})",
            catch_response=True,
        ) as answer:
            if answer.status_code == 200:
                answer.success()
                return
            slug = _slug(answer)
            self._run.problems[slug] += 1
            answer.failure(slug)


class Keeper(FastHttpUser):
    """Somebody who brings dialogues into a collection and searches it."""

    wait_time = constant_throughput(1 / BEAT_S)
    connection_timeout = 120.0
    network_timeout = 120.0

    def on_start(self) -> None:
        self._run: Run = self.environment.colloquy_run
        self._requests = self._run.corpus_of_next_user()

    @task
    def work(self) -> None:
        request = next(self._requests)
        with self.client.post(
            request.path,
            json=request.body,
            headers=self._run.headers,
            name=request.kind,
            catch_response=True,
        ) as answer:
            if answer.status_code != request.answer:
                slug = _slug(answer)
                self._run.problems[slug] += 1
                answer.failure(slug)
                return
            answer.success()
            if request.kind == "ingest" and self._run.shelf is not None:
                self._run.shelf.jobs.add(json.loads(answer.text)["job"])


def _slug(answer: Any) -> str:
    """The problem's own name; what is no problem of ours keeps its status."""
    try:
        kind = json.loads(answer.text or "")["type"]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
    return str(kind).rpartition(":")[2]


def _settle(shelf: Shelf | None, within_s: float) -> tuple[float, int, int]:
    """Waits for what was acknowledged; returns for how long, what failed and what has not ended."""
    if shelf is None:
        return 0.0, 0, 0
    began_s = time.monotonic()
    failed = shelf.wait(within_s=within_s)
    settled_s = time.monotonic() - began_s
    left = len(shelf.jobs)
    with suppress(OSError):  # the next run does it
        shelf.drop()
    return settled_s, len(failed), left


@events.quitting.add_listener
def decide(environment: Environment, **_: Any) -> None:
    run: Run | None = getattr(environment, "colloquy_run", None)
    if run is None:
        environment.process_exit_code = 2
        return
    options = environment.parsed_options
    total = environment.stats.total
    settled_s, failed, left = _settle(run.shelf, options.settle_s)
    outcome = Outcome(
        requests=total.num_requests,
        failures=total.num_failures,
        seconds=max(1e-9, (total.last_request_timestamp or 0.0) - total.start_time),
        asked_per_s=options.rate,
        p50_ms=total.get_response_time_percentile(0.5) or 0.0,
        p95_ms=total.get_response_time_percentile(0.95) or 0.0,
        p99_ms=total.get_response_time_percentile(0.99) or 0.0,
        problems=run.problems,
        settled_s=settled_s,
        failed_jobs=failed,
        open_jobs=left,
    )
    bounds = Thresholds(
        options.p95_ms, options.error_share, options.offered_share, options.settle_s
    )
    path = Path(options.report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome.report(bounds), indent=2) + "\n", encoding="utf-8")
    faults = outcome.faults(bounds)
    for line in faults or [f"every threshold holds; {path} has the numbers"]:
        print(f"loadtests: {line}")
    environment.process_exit_code = 1 if faults else 0
