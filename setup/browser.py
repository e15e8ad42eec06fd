"""Chromium and its driver for the test of the page: finds them, or installs Debian's packages."""

import os
import shutil
import subprocess
import sys

PACKAGES = ("chromium", "chromium-driver")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    if is_there():
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.stderr.write(
            "test: the test of the page needs Chromium and chromedriver; on Debian and Ubuntu: "
            f"sudo apt-get install {' '.join(PACKAGES)}\n"
        )
        return 1
    sys.stdout.write(f"test: installing {' and '.join(PACKAGES)} (a minute)\n")
    sys.stdout.flush()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-qq", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(f"test: apt-get {command[0]} failed:\n{done.stdout}{done.stderr}")
            return 1
    return 0 if is_there() else 1


def is_there() -> bool:
    return shutil.which("chromedriver") is not None and any(map(shutil.which, BROWSERS))


if __name__ == "__main__":
    raise SystemExit(main())
