"""python -m loadtests --rate 1 --seconds 60: a load test of the stack that is up, with thresholds.
`--scenario corpus` sends ingestions and searches over a collection of its own.

The report is `loadtests/report/report.html` and `report.json`. It ends with 0 when every threshold
held, with 1 when one did not, with 2 when it could not run.
"""

import argparse
import math
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from colloquy.cli.failure import CommandFailed
from colloquy.cli.profiles import stack_of
from colloquy.profile import ProfileError
from loadtests.corpus import batch
from loadtests.shelf import Shelf, ShelfFailed, authorized
from loadtests.talks import NoSamples, read_samples
from loadtests.verdict import Thresholds

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "loadtests" / "report"
KEY_VARIABLE = "COLLOQUY_API_KEY"
USERS = {"dialogues": "Asker", "corpus": "Keeper"}
_FIRST_DIALOGUES = 64
_FILL_S = 300.0
BEAT_S = 10.0  # as in locustfile.py, which cannot be imported without locust's patching


def main(argv: Sequence[str] | None = None) -> int:
    bounds = Thresholds()
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    parser.add_argument(
        "--scenario",
        choices=list(USERS),
        default="dialogues",
        help="searches in dialogues sent along, or ingestions and searches in a collection",
    )
    parser.add_argument("--host", default="http://127.0.0.1:8420")
    parser.add_argument("--rate", type=float, default=1.0, help="arrivals per second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--samples", default=str(ROOT / "starter/samples/dialogues.json"))
    parser.add_argument(
        "--key",
        default=os.environ.get(KEY_VARIABLE, ""),
        help=f"an API key, or the page's token while there are none; default ${KEY_VARIABLE}",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, default=REPORT, help="folder of the report")
    parser.add_argument("--p95-ms", type=float, default=bounds.p95_ms)
    parser.add_argument("--settle-s", type=float, default=bounds.settle_s)
    parser.add_argument("--error-share", type=float, default=bounds.error_share)
    options = parser.parse_args(argv)

    if not Path(options.samples).is_file():
        return _cannot(f"there are no sample dialogues at {options.samples}")
    if options.scenario == "corpus" and not options.key:
        options.key = _page_token(options.host)
    if (why := _not_ready(options.host)) is not None:
        return _cannot(why)
    if options.scenario == "corpus":
        try:
            _fill(options)
        except (ShelfFailed, NoSamples) as failed:
            return _cannot(str(failed))
    options.report.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), KEY_VARIABLE: options.key}
    done = subprocess.run(_command(options), cwd=ROOT, env=environment, check=False)
    return done.returncode


def _command(options: argparse.Namespace) -> list[str]:
    users = max(1, round(options.rate * BEAT_S))
    # Within one beat, so that arrivals are spread over it and do not come in waves.
    spawn_per_s = math.ceil(users / BEAT_S * 10) / 10
    return [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
        *("--locustfile", str(ROOT / "loadtests" / "locustfile.py"), "--host", options.host),
        *("--users", str(users), "--spawn-rate", str(spawn_per_s)),
        *("--run-time", f"{options.seconds}s", "--stop-timeout", "60"),
        *(
            "--html",
            str(options.report / "report.html"),
            "--report",
            str(options.report / "report.json"),
        ),
        *("--rate", str(options.rate), "--seed", str(options.seed)),
        *("--scenario", options.scenario, "--settle-s", str(options.settle_s)),
        *("--samples", options.samples),
        *("--p95-ms", str(options.p95_ms), "--error-share", str(options.error_share)),
        USERS[options.scenario],
    ]


def _fill(options: argparse.Namespace) -> None:
    """Before the run, whose time it would take."""
    samples = read_samples(Path(options.samples))
    first = batch(samples, seed=options.seed, name="first", size=_FIRST_DIALOGUES)
    Shelf(options.host.rstrip("/"), authorized(options.key)).fill(first, within_s=_FILL_S)


def _page_token(host: str) -> str:
    """Of the stack that `colloquy up` runs here; it allows changes while there are no keys."""
    try:
        state = stack_of(argparse.Namespace(profile=None)).state()
    except (ProfileError, CommandFailed):
        return ""
    if state is None or state.api_url != host.rstrip("/"):
        return ""
    return state.page_token or ""


def _not_ready(host: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{host}/readyz", timeout=10):  # noqa: S310
            return None
    except urllib.error.HTTPError as answer:
        return f"the stack at {host} is not ready ({answer.code}); see `colloquy status`"
    except (OSError, ValueError):
        return f"nothing answers at {host}; `colloquy up` starts the stack"


def _cannot(why: str) -> int:
    print(f"loadtests: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
