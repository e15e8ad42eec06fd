"""The HTTP connection to one engine: addresses, deadlines, failures, how long it has been down."""

import asyncio
import time
from typing import Any, Self

import httpx
from pydantic import SecretStr

from colloquy.engine.failures import EngineDied, failure_of
from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import DeadlineExceeded, Unavailable, UpstreamFailed

_CONNECT_S = 2.0
# Shorter than the server's own five seconds, so a connection is never reused while it closes.
_KEEP_ALIVE_S = 2.0
_LONGEST_CALL_S = 600.0
_SOONEST_RETRY_S = 5


class Wire:
    """Sends JSON to an engine and maps every failure to a `ServiceError`.

    A call that is cancelled closes its connection, which ends its work in the engine.

    Args:
        address: `unix:/path/to.sock`, or `http(s)://host:port` with or without a path.
        usual_start_s: how long the engine takes to come back; `Retry-After` counts down from it.
    """

    def __init__(
        self, address: str, *, api_key: SecretStr | None = None, usual_start_s: int = 60
    ) -> None:
        self._usual_start_s = usual_start_s
        self._down_since: float | None = None
        unix = address.startswith("unix:")
        headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
        limits = httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S)
        self._http = httpx.AsyncClient(
            base_url="http://engine" if unix else _without_version(address),
            headers=headers,
            timeout=httpx.Timeout(_LONGEST_CALL_S, connect=_CONNECT_S),
            # Only somebody else's server may be behind a proxy.
            trust_env=address.startswith("https:"),
            limits=limits,
            transport=httpx.AsyncHTTPTransport(uds=address.removeprefix("unix:"), limits=limits)
            if unix
            else None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def retry_after_s(self) -> int:
        """When an engine that is down should be back."""
        down_s = 0.0 if self._down_since is None else time.monotonic() - self._down_since
        return max(_SOONEST_RETRY_S, round(self._usual_start_s - down_s))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Posts `body` and returns the answer's JSON.

        Raises:
            Unavailable: the engine is down. DeadlineExceeded: no time is left.
            ServiceError, CacheMiss: what the engine refused, see `failures`.
        """
        reply = await self._send("POST", path, body)
        try:
            return reply.json()
        except ValueError as error:
            raise UpstreamFailed("the engine's answer is not JSON") from error

    async def post_for_text(self, path: str, body: dict[str, Any]) -> str:
        return (await self._send("POST", path, body)).text

    async def get(self, path: str) -> httpx.Response:
        return await self._send("GET", path, None)

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        deadline = current_deadline()
        left_s = deadline.left_s() if deadline is not None else _LONGEST_CALL_S
        if left_s <= 0:
            raise DeadlineExceeded("no time was left to ask the engine")
        try:
            async with asyncio.timeout(left_s):
                reply = await self._http.request(method, path, json=body)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise DeadlineExceeded("the engine did not answer in time") from error
        except httpx.TransportError as error:
            raise self._is_down() from error
        if reply.status_code < 400:
            self._down_since = None
            return reply
        failure = failure_of(reply.status_code, reply.content, reply.headers.get("retry-after"))
        if isinstance(failure, EngineDied):
            raise self._is_down()
        raise failure

    def _is_down(self) -> Unavailable:
        if self._down_since is None:
            self._down_since = time.monotonic()
        return Unavailable("the model engine is not running", retry_after_s=self.retry_after_s)


def _without_version(address: str) -> str:
    """Both `https://host` and `https://host/v1` are commonly written for the same server."""
    return address.rstrip("/").removesuffix("/v1")
