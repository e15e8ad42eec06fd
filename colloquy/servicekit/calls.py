"""Calls from one service to another: typed, within the deadline, problems mapped back."""

import asyncio
import time
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr, ValidationError

from colloquy.contracts.contract import Contract
from colloquy.contracts.problem import Fault
from colloquy.servicekit.context import REQUEST_ID_HEADER, request_id
from colloquy.servicekit.deadlines import DEADLINE_HEADER, current_deadline
from colloquy.servicekit.metrics import CallMetrics
from colloquy.servicekit.middleware import HOP_SECRET_HEADER
from colloquy.servicekit.problems import (
    PROBLEM_BASE,
    PROBLEM_MEDIA_TYPE,
    DeadlineExceeded,
    HopRefused,
    MethodNotAllowed,
    RouteMissing,
    ServiceError,
    Unavailable,
    UpstreamFailed,
    error_types,
)

Answer = TypeVar("Answer", bound=Contract)

# Below the server's keep-alive, so that a connection is never reused while the server closes it.
_KEEP_ALIVE_S = 30.0
_CONNECT_S = 2.0
_RETRY_AFTER_S = 0.05
_OUR_FAULT = (HopRefused, RouteMissing, MethodNotAllowed)


class ServiceClient:
    """Calls one service at `unix:/path/to.sock` or `http://host:port`.

    Args:
        service_name: how the service is called in details and metrics.
        default_timeout_s: for calls outside any deadline.
    """

    def __init__(
        self,
        address: str,
        *,
        hop_secret: SecretStr,
        service_name: str,
        metrics: CallMetrics | None = None,
        default_timeout_s: float = 30.0,
        max_connections: int = 256,
    ) -> None:
        self._name = service_name
        self._metrics = metrics
        self._default_timeout_s = default_timeout_s
        socket_path = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._http = httpx.AsyncClient(
            base_url="http://service" if socket_path else address,
            transport=httpx.AsyncHTTPTransport(
                uds=socket_path,
                verify=address.startswith("https:"),  # loading certificates takes a while
                limits=httpx.Limits(
                    max_connections=max_connections,
                    max_keepalive_connections=64,
                    keepalive_expiry=_KEEP_ALIVE_S,
                ),
            ),
            headers={HOP_SECRET_HEADER: hop_secret.get_secret_value()},
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method_path: str, body: Contract, answer: type[Answer]) -> Answer:
        """Sends `body` to `method_path` ("POST /v1/fragment", or just the path) and reads an
        `answer`.

        Raises:
            ServiceError: of the class the service answered with; `Unavailable` when it cannot be
                reached or breaks off; `DeadlineExceeded`; `UpstreamFailed` for anything that a
                sound service of this stack does not answer.
        """
        method, _, path = method_path.rpartition(" ")
        content = body.model_dump_json(by_alias=True, exclude_none=True).encode()
        return await self._observed(method or "POST", path, content, answer)

    async def get(
        self, path: str, answer: type[Answer], *, also: frozenset[int] = frozenset()
    ) -> Answer:
        """Reads an `answer`; a status of `also` holds one too, as the 503 of a readiness does."""
        return await self._observed("GET", path, None, answer, also)

    async def _observed(
        self,
        method: str,
        path: str,
        content: bytes | None,
        answer: type[Answer],
        also: frozenset[int] = frozenset(),
    ) -> Answer:
        started, outcome = time.perf_counter(), "cancelled"
        try:
            result = self._read(await self._send_in_time(method, path, content), answer, also)
            outcome = "ok"
        except ServiceError as error:
            outcome = error.slug
            raise
        finally:
            if self._metrics is not None:
                seconds = time.perf_counter() - started
                self._metrics.observe(self._name, f"{method} {path}", outcome, seconds)
        return result

    async def _send_in_time(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        deadline = current_deadline()
        left_s = deadline.left_s() if deadline else self._default_timeout_s
        if left_s <= 0:
            raise DeadlineExceeded
        limit = asyncio.timeout(left_s)
        try:
            async with limit:
                return await self._send(method, path, content)
        except TimeoutError:
            raise DeadlineExceeded(f"the {self._name} did not answer in time") from None

    async def _send(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        try:
            return await self._once(method, path, content)
        except httpx.ConnectError:
            # The one failure after which nothing can have been done: a restart may be under way.
            await asyncio.sleep(_RETRY_AFTER_S)
        except httpx.TransportError as error:
            raise self._unavailable() from error
        try:
            return await self._once(method, path, content)
        except httpx.TransportError as error:
            raise self._unavailable() from error

    async def _once(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        deadline = current_deadline()
        left_ms = deadline.left_ms() if deadline else int(self._default_timeout_s * 1_000)
        headers = {DEADLINE_HEADER: str(left_ms)}
        if identity := request_id():
            headers[REQUEST_ID_HEADER] = identity
        if content is not None:
            headers["content-type"] = "application/json"
        return await self._http.request(method, path, content=content, headers=headers)

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"the {self._name} cannot be reached")

    def _read(self, response: httpx.Response, answer: type[Answer], also: frozenset[int]) -> Answer:
        kind = response.headers.get("content-type", "").partition(";")[0]
        holds_answer = response.status_code in also and kind != PROBLEM_MEDIA_TYPE
        if response.status_code // 100 != 2 and not holds_answer:
            raise self._problem(response)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError:
            # Without its cause: the validator's text holds what was answered.
            raise UpstreamFailed(f"the {self._name} answered in an unknown form") from None

    def _problem(self, response: httpx.Response) -> ServiceError:
        failed = UpstreamFailed(f"the {self._name} failed")
        kind = response.headers.get("content-type", "").partition(";")[0]
        if kind != PROBLEM_MEDIA_TYPE:
            return failed
        try:
            problem: dict[str, Any] = response.json()
            slug = str(problem["type"]).removeprefix(PROBLEM_BASE)
            faults = [Fault.model_validate(fault) for fault in problem.get("faults") or []]
            detail = str(problem.get("detail", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            return failed
        error_type = error_types().get(slug)
        if error_type is None or issubclass(error_type, _OUR_FAULT):
            return failed
        retry = response.headers.get("retry-after", "")
        return error_type(
            detail, retry_after_s=int(retry) if retry.isdecimal() else None, faults=faults
        )
