"""What a gateway may answer, for one that stands in."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class Reply:
    """One answer; `hold` keeps the caller waiting until it is set."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


@dataclass(frozen=True)
class Stream:
    """Server-sent events: a name, and a contract as its data."""

    events: Iterator[tuple[str, BaseModel]]


def reply_of(contract: BaseModel, status: int = 200) -> Reply:
    return Reply(contract.model_dump(mode="json", by_alias=True), status)


def problem(status: int, slug: str, title: str, detail: str, **facts: Any) -> Reply:
    """A problem+json; `retry_after` becomes the header."""
    retry_after = facts.pop("retry_after", None)
    return Reply(
        {
            "type": f"urn:colloquy:problem:{slug}",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": "/v1/fragments/search",
            "request_id": "req-of-a-problem",
            **facts,
        },
        status,
        {"content-type": "application/problem+json"}
        | ({"retry-after": str(retry_after)} if retry_after is not None else {}),
    )
