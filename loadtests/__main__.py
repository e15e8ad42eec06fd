"""python -m loadtests --rate 1 --seconds 60: a load test of the stack that is up, with thresholds.

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

from loadtests.verdict import Thresholds

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "loadtests" / "report"
BEAT_S = 10.0  # as in locustfile.py, which cannot be imported without locust's patching


def main(argv: Sequence[str] | None = None) -> int:
    bounds = Thresholds()
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    parser.add_argument("--host", default="http://127.0.0.1:8420")
    parser.add_argument("--rate", type=float, default=1.0, help="arrivals per second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--samples", default=str(ROOT / "starter/samples/dialogues.json"))
    parser.add_argument("--key", default="", help="an API key, once the stack has any")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--p95-ms", type=float, default=bounds.p95_ms)
    parser.add_argument("--error-share", type=float, default=bounds.error_share)
    options = parser.parse_args(argv)

    if not Path(options.samples).is_file():
        return _cannot(f"there are no sample dialogues at {options.samples}")
    if (why := _not_ready(options.host)) is not None:
        return _cannot(why)
    REPORT.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
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
        *("--html", str(REPORT / "report.html"), "--report", str(REPORT / "report.json")),
        *("--rate", str(options.rate), "--seed", str(options.seed), "--key", options.key),
        *("--samples", options.samples),
        *("--p95-ms", str(options.p95_ms), "--error-share", str(options.error_share)),
    ]


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
