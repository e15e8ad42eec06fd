"""Logs: one JSON object a line on stderr, with the request's id and without anybody's words."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from colloquy.servicekit.context import request_id

_MAX_FRAMES = 40


class JsonLines(logging.Formatter):
    """Formats a record as JSON.

    Of an exception it writes the type and the frames, never its text: libraries put what a user
    sent into it. For the same reason only the first line of a message is kept; asyncio's reports
    repeat the exception on the lines after.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage().partition("\n")[0],
        }
        if identity := request_id():
            line["request_id"] = identity
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):
            line |= facts
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe_error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def describe_error(error: BaseException) -> list[dict[str, object]]:
    """The chain of an exception, outermost first: types and frames, no texts."""
    chain: list[dict[str, object]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 8:
        frames = traceback.extract_tb(current.__traceback__)[-_MAX_FRAMES:]
        chain.append(
            {
                "type": f"{type(current).__module__}.{type(current).__qualname__}",
                "frames": [f"{f.filename}:{f.lineno} {f.name}" for f in frames],
            }
        )
        current = current.__cause__ or current.__context__
    return chain


def configure_logging(
    service: str, level: int = logging.INFO, stream: TextIO | None = None
) -> None:
    """Sends every log of this process to `stream`, stderr by default, as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
