"""The children's logs: bounded, and the line in them that says why one ended."""

import json
import re
import shutil
from pathlib import Path

MAX_LOG_BYTES = 16 * 2**20
_TAIL_BYTES = 64 * 1024
_MAX_REASON_CHARACTERS = 300
_MORE_LINES = 2
# `ValueError: …`, `colloquy.profile.ProfileError: …`, with whatever prefix a logger gives it.
_RAISED = re.compile(r"(?:^|\s)(?:[\w.]+\.)?(\w*(?:Error|Exception|Refused|Missing|Broken)): (.+)")
_PREFIX = re.compile(r"^(?:\(\w+ pid=\d+\) )?(?:(?:ERROR|WARNING|INFO) [\d: -]+\[[^\]]*\] )?")


def bound(log: Path) -> None:
    """Keeps the newest part: past the limit, what is there moves to `.1` and the log begins anew.

    The writers hold the file open in append mode, so it is copied and emptied, never renamed.
    """
    try:
        if log.stat().st_size <= MAX_LOG_BYTES:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    with log.open("r+b") as file:
        file.truncate(0)


def size_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, *, since: int = 0) -> list[str]:
    """The last lines that were written after position `since`."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            end = file.tell()
            file.seek(max(since if since <= end else 0, end - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def reason_in(log: Path, *, since: int) -> str:
    """Why a process ended, in one line: its last error, or else its last words."""
    lines = [_words(line) for line in tail(log, since=since)]
    lines = [line for line in lines if line]
    # A service of ours says it in so many words.
    for line in reversed(lines):
        if line.startswith("cannot start: "):
            return line.removeprefix("cannot start: ")[:_MAX_REASON_CHARACTERS]
    for place in range(len(lines) - 1, -1, -1):
        if found := _RAISED.search(lines[place]):
            # What a validator found stands in the lines after its name.
            said = [f"{found[1]}: {found[2]}", *lines[place + 1 : place + 1 + _MORE_LINES]]
            return " ".join(said)[:_MAX_REASON_CHARACTERS]
    return lines[-1][:_MAX_REASON_CHARACTERS] if lines else "it said nothing"


def _words(line: str) -> str:
    line = line.strip()
    if line.startswith("{"):
        try:
            entry = json.loads(line)
        except ValueError:
            return line
        return str(entry.get("message") or line)
    return _PREFIX.sub("", line).strip(" ^~")
