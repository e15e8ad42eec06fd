import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from colloquy.servicekit.context import enter_request, leave_request
from colloquy.servicekit.logs import JsonLines

SECRET = "the-words-of-a-user"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("testing"))
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def test_a_line_is_one_json_object_with_the_requests_id(lines: io.StringIO) -> None:
    token = enter_request("r-1")
    logging.getLogger("x").error("it failed", extra={"facts": {"status": 500}})
    leave_request(token)

    line = json.loads(lines.getvalue())

    assert line["message"] == "it failed"
    assert (line["service"], line["level"], line["request_id"]) == ("testing", "error", "r-1")
    assert line["status"] == 500


def test_an_error_is_told_by_type_and_frames_without_its_text(lines: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(SECRET) from error
    except ValueError:
        logging.getLogger("x").exception("it failed")

    line = json.loads(lines.getvalue())

    assert [one["type"] for one in line["error"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert "test_logs.py" in line["error"][0]["frames"][0]
    assert SECRET not in lines.getvalue()


def test_a_report_of_asyncio_does_not_repeat_the_errors_text(lines: io.StringIO) -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.call_exception_handler(
        {"message": "a task failed", "future": future, "exception": ValueError(SECRET)}
    )
    loop.close()

    assert json.loads(lines.getvalue())["message"] == "a task failed"
    assert SECRET not in lines.getvalue()
