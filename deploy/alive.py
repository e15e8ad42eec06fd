"""`python deploy/alive.py URL` ends with 0 if URL answers with success; for health checks."""

import sys
import urllib.request


def main(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return 0 if 200 <= answer.status < 300 else 1
    except OSError as failure:
        sys.stderr.write(f"{url}: {failure}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
