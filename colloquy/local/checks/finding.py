"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`failed` keeps the stack from running; a `warning` is good to know."""

    about: str
    verdict: Verdict
    detail: str


def ok(about: str, detail: str) -> Finding:
    return Finding(about, "ok", detail)


def warning(about: str, detail: str) -> Finding:
    return Finding(about, "warning", detail)


def failed(about: str, detail: str) -> Finding:
    return Finding(about, "failed", detail)
