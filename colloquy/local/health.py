"""Asking a child over HTTP, on a Unix socket or a port."""

from types import TracebackType
from typing import Self

import httpx
from pydantic import ValidationError

from colloquy.contracts.operation import Readiness

_CONNECT_S = 1.0


class Asker:
    """Each question opens a connection of its own: the answerer may be another process by now."""

    def __init__(self, address: str, *, headers: dict[str, str] | None = None) -> None:
        unix = address.startswith("unix:")
        self._http = httpx.AsyncClient(
            base_url="http://child" if unix else address,
            transport=httpx.AsyncHTTPTransport(
                uds=address.removeprefix("unix:") if unix else None,
                limits=httpx.Limits(max_keepalive_connections=0),
            ),
            headers=headers,
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
        await self._http.aclose()

    async def is_well(self, path: str, *, within_s: float) -> bool:
        answer = await self._get(path, within_s)
        return answer is not None and answer.is_success

    async def readiness(self, *, within_s: float) -> Readiness | None:
        """None when nobody answered in that form."""
        answer = await self._get("/readyz", within_s)
        if answer is None:
            return None
        try:
            return Readiness.model_validate_json(answer.content)
        except ValidationError:
            return None

    async def _get(self, path: str, within_s: float) -> httpx.Response | None:
        try:
            return await self._http.get(path, timeout=httpx.Timeout(within_s, connect=_CONNECT_S))
        except httpx.HTTPError:
            return None
