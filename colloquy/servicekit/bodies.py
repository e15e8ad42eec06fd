"""Reading a JSON body strictly, before the framework sees it.

A route that takes a contract gets exactly one JSON value in UTF-8: no NaN, no number beyond a
double, no repeated name, no half of a surrogate pair, no bottomless nesting, no millions of
values. What is refused is refused in our words, with the place where there is one.
"""

import asyncio
import json
import math
import re
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from colloquy.servicekit.problems import ClientGone, MalformedJson, UnsupportedMedia

MAX_VALUES = 500_000
"""In one body: a byte of `[],[],…` becomes some thirty bytes of objects."""

# Always consumes to the closing quote or the end, and never goes back: linear on any text.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PARSED_APART_BYTES = 2**20
_BOM = b"\xef\xbb\xbf"


class JsonBodyOnly:
    """Stands before one route that takes a JSON body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedMedia("send the body without content-encoding")
        body = await read_body(receive)
        if body or "content-type" in headers:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise UnsupportedMedia("send the body as application/json")
        if len(body) > _PARSED_APART_BYTES:
            await asyncio.to_thread(parse_json, body)  # others are served meanwhile
        elif body:
            parse_json(body)
        await self._app(scope, _replay(body, receive), send)


async def read_body(receive: Receive) -> bytes:
    """The whole body; its size is bounded by `BoundBody` outside.

    Raises:
        ClientGone: the client left before it was complete.
    """
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """Parses one JSON value strictly.

    Raises:
        MalformedJson: it is not one; the detail says where.
    """
    try:
        text = body.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"the body is not UTF-8 at byte {error.start}") from None
    _refuse_crowded(text)
    try:
        value = json.loads(
            text,
            parse_float=_finite,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_names,
        )
    except json.JSONDecodeError as error:
        wrong = "ends before" if error.msg == "Extra data" else "breaks off at"
        raise MalformedJson(
            f"the JSON {wrong} line {error.lineno}, column {error.colno}",
            line=error.lineno,
            column=error.colno,
        ) from None
    except RecursionError:
        raise MalformedJson("the JSON is nested too deeply") from None
    except ValueError:  # a whole number of thousands of digits
        raise MalformedJson("the JSON holds a number that is too long") from None
    if _SURROGATE.search(text):
        _refuse_half_surrogates(value)
    return value


def _refuse_crowded(text: str) -> None:
    # Strings hold commas and brackets too, so they are taken out; but only from a suspect.
    if _marks(text) > MAX_VALUES and _marks(_STRINGS.sub("", text)) > MAX_VALUES:
        raise MalformedJson(f"the JSON holds more than {MAX_VALUES} values")


def _marks(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _refuse_half_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedJson("the JSON holds half of a surrogate pair") from None


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise MalformedJson("the JSON holds a number beyond a double")
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise MalformedJson("the JSON holds NaN or Infinity, which JSON does not have")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedJson("an object of the JSON has one name twice")
    return value


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
