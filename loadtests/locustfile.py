"""Fragment searches at a constant rate of arrival.

`python -m loadtests` runs it and knows the defaults. Each simulated user asks rarely, at a steady
beat, and there are many: so the rate of arrival stays as asked while answers get slower, up to
`BEAT_S`, and slowness shows as time and not as fewer requests.
"""

import json
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtests.talks import read_samples, searches
from loadtests.verdict import Outcome, Thresholds

BEAT_S = 10.0
SEARCH = "/v1/fragments/search"


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    bounds = Thresholds()
    parser.add_argument("--rate", type=float, default=1.0, help="arrivals per second")
    parser.add_argument("--samples", default="starter/samples/dialogues.json")
    parser.add_argument("--key", default="", help="an API key, once the stack has any")
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
        self.headers = {"authorization": f"Bearer {options.key}"} if options.key else {}
        self._samples = read_samples(Path(options.samples))
        self._seed = options.seed
        self._users = 0

    def searches_of_next_user(self) -> Any:
        self._users += 1
        return searches(self._samples, seed=self._seed * 100_003 + self._users)


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


def _slug(answer: Any) -> str:
    """The problem's own name; what is no problem of ours keeps its status."""
    try:
        kind = json.loads(answer.text or "")["type"]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
    return str(kind).rpartition(":")[2]


@events.quitting.add_listener
def decide(environment: Environment, **_: Any) -> None:
    run: Run | None = getattr(environment, "colloquy_run", None)
    if run is None:
        environment.process_exit_code = 2
        return
    options = environment.parsed_options
    total = environment.stats.total
    outcome = Outcome(
        requests=total.num_requests,
        failures=total.num_failures,
        seconds=max(1e-9, (total.last_request_timestamp or 0.0) - total.start_time),
        asked_per_s=options.rate,
        p50_ms=total.get_response_time_percentile(0.5) or 0.0,
        p95_ms=total.get_response_time_percentile(0.95) or 0.0,
        p99_ms=total.get_response_time_percentile(0.99) or 0.0,
        problems=run.problems,
    )
    bounds = Thresholds(options.p95_ms, options.error_share, options.offered_share)
    path = Path(options.report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome.report(bounds), indent=2) + "\n", encoding="utf-8")
    faults = outcome.faults(bounds)
    for line in faults or [f"every threshold holds; {path} has the numbers"]:
        print(f"loadtests: {line}")
    environment.process_exit_code = 1 if faults else 0
