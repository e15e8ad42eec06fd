"""The layers around every service, as plain ASGI, so that bodies stream through them.

`app.create_service` puts them together; the order there is the order of the classes here.
"""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from colloquy.servicekit.context import (
    REQUEST_ID_HEADER,
    accept_request_id,
    enter_request,
    leave_request,
)
from colloquy.servicekit.deadlines import DEADLINE_HEADER, start_deadline
from colloquy.servicekit.metrics import ServiceMetrics
from colloquy.servicekit.problems import (
    BodyTooSlow,
    ClientGone,
    HopRefused,
    Malformed,
    Overloaded,
    TooLarge,
    Unavailable,
    as_service_error,
    problem_response,
    problem_slug,
)

HOP_SECRET_HEADER = "x-colloquy-hop-secret"  # noqa: S105
_PRIVATE_PREFIX = b"x-colloquy-"
_UNMATCHED = "unmatched"
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_BODY_PATIENCE_S = 10.0
_SLOWEST_BYTES_PER_S = 65_536
_MAX_DEADLINE_MS = 24 * 3_600 * 1_000
_access = logging.getLogger("colloquy.access")


class NameRequest:
    """Gives each request an id, the caller's where it is one, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = accept_request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = identity
            await send(message)

        token = enter_request(identity)
        try:
            await self._app(scope, receive, named)
        finally:
            leave_request(token)


class Observe:
    """Counts and times each request by its route, and writes one line about it: no content."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        sent_bytes = 0

        async def observed(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent_bytes += len(message.get("body", b""))
            await send(message)

        started = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.in_flight.dec()
            self._write(scope, status or ClientGone.status, seconds, sent_bytes)

    def _write(self, scope: Scope, status: int, seconds: float, sent_bytes: int) -> None:
        route = route_of(scope)
        slug = ClientGone.slug if status == ClientGone.status else problem_slug(scope)
        self._metrics.observe(route, scope["method"], status, seconds, slug)
        facts = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1_000, 2),
            "bytes": sent_bytes,
        }
        if slug is not None:
            facts["problem"] = slug
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        _access.log(level, "request", extra={"facts": facts})


def route_of(scope: Scope) -> str:
    """The template of the route that matched, so that a label stays a closed set."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else _UNMATCHED


class CancelWhenClientLeaves:
    """Cancels the handler, and all it waits for, when its client closes the connection.

    The server only reports a closed connection to who asks for it, so one small task asks. It
    reads at most one message ahead: a client that sends a body nobody reads is not drained.

    Cancelled by the server, which ends, it still answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        handler = asyncio.current_task()
        assert handler is not None
        inbox: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
        started = answered = left = False

        async def watch() -> None:
            nonlocal left
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    if not answered:
                        left = True
                        handler.cancel()
                    while True:  # whoever still reads learns it too
                        await inbox.put(message)
                await inbox.put(message)

        async def watched(message: Message) -> None:
            nonlocal started, answered
            started = True
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered = True
            await send(message)

        watcher = asyncio.create_task(watch())
        try:
            await self._app(scope, inbox.get, watched)
        except asyncio.CancelledError:
            if not left or handler.uncancel() > 0:
                if not started and not left:
                    ending = problem_response(scope, Unavailable("the service ends"))
                    await ending(scope, receive, send)
                raise
            left = False
        finally:
            watcher.cancel()
            if left:  # the handler finished all the same
                handler.uncancel()


class AnswerProblems:
    """The last resort: whatever comes out of the service is answered as a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def marked(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except Exception as error:  # noqa: BLE001 - the last resort
            problem = as_service_error(error)
            response = problem_response(scope, problem)
            if not started:  # else the connection is cut, which tells the client enough
                await response(scope, receive, send)


class KnowTheHop:
    """Answers only callers with the secret minted at start.

    Without a secret the service is the public door, and what only hops may say is dropped.
    """

    def __init__(self, app: ASGIApp, secret: SecretStr | None, open_paths: frozenset[str]) -> None:
        self._app = app
        self._secret = secret.get_secret_value().encode() if secret else None
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._secret is None:
            kept = [h for h in scope["headers"] if not h[0].lower().startswith(_PRIVATE_PREFIX)]
            scope["headers"] = kept
        elif scope["path"] not in self._open_paths:
            offered = Headers(scope=scope).get(HOP_SECRET_HEADER, "").encode("latin-1")
            if not hmac.compare_digest(offered, self._secret):
                raise HopRefused
        await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """Limits of one route instead of the service's own.

    Attributes:
        path: the whole path matches it.
        deadline_ms: for requests that carry none.
        max_bytes: of a body that goes to disk as it arrives, so that it takes no share of the
            memory; None leaves the service's bounds.
    """

    method: str
    path: re.Pattern[str]
    deadline_ms: int
    max_bytes: int | None = None


def limits_of(scope: Scope, routes: Sequence[RouteLimits]) -> RouteLimits | None:
    """The limits of the route that a request asks for, where it has some of its own."""
    for route in routes:
        if scope["method"] == route.method and route.path.fullmatch(scope["path"]):
            return route
    return None


class BoundBody:
    """Refuses a body over the limit: by its announced length, else by what really arrives.

    All bodies under way together are bounded too: many callers, each within its own limit, could
    else fill the memory. And a body must keep coming: one that stands still holds a place that
    others wait for.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        max_total_bytes: int | None = None,
        routes: Sequence[RouteLimits] = (),
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._routes = routes
        self._total = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = limits_of(scope, self._routes)
        to_disk = own is not None and own.max_bytes is not None
        max_bytes = own.max_bytes if own and own.max_bytes is not None else self._max_bytes
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
            raise _too_large(max_bytes)
        arrived = held = 0
        ended = False
        began_s: float | None = None

        async def counted() -> Message:
            nonlocal arrived, began_s, ended, held
            if ended:  # from here on whoever asks waits for the client to leave
                return await receive()
            began_s = began_s or asyncio.get_running_loop().time()
            try:
                patience_s = _BODY_PATIENCE_S + arrived / _SLOWEST_BYTES_PER_S
                async with asyncio.timeout_at(began_s + patience_s):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(
                    f"a body must arrive within {_BODY_PATIENCE_S:g} s, a large one at "
                    f"{_SLOWEST_BYTES_PER_S} bytes a second"
                ) from None
            ended = not message.get("more_body", False)
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                arrived += size
                if arrived > max_bytes:
                    raise _too_large(max_bytes)
                if to_disk:
                    return message
                self._total += size
                held += size
                if self._max_total_bytes is not None and self._total > self._max_total_bytes:
                    raise Overloaded("too many large bodies are under way", retry_after_s=1)
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._total -= held


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body may have at most {max_bytes} bytes", max_bytes=max_bytes)


class KeepDeadline:
    """Starts the deadline that the caller's header carries, or the route's or service's own."""

    def __init__(
        self, app: ASGIApp, default_ms: int | None, routes: Sequence[RouteLimits] = ()
    ) -> None:
        self._app = app
        self._default_ms = default_ms
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get(DEADLINE_HEADER)
        if offered is not None and not (offered.isdecimal() and len(offered) < 10):
            raise Malformed(f"{DEADLINE_HEADER} must be a whole number of milliseconds")
        own = limits_of(scope, self._routes)
        ms = own.deadline_ms if own is not None else self._default_ms
        if offered is not None:
            ms = min(int(offered), _MAX_DEADLINE_MS)
        if ms is None:
            await self._app(scope, receive, send)
            return
        async with start_deadline(ms):
            await self._app(scope, receive, send)
