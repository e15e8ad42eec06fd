"""Calls to a Qdrant server: within the deadline, its failures in our words."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import (
    CollectionMissing,
    DeadlineExceeded,
    ServiceError,
    Unavailable,
    UpstreamFailed,
)

_TROUBLED_S: Final = 10.0
# Each call has a limit of its own, which is shorter.
_CLIENT_TIMEOUT_S: Final = 600
_Answer = TypeVar("_Answer")
_log = logging.getLogger("colloquy.retriever.vectors")


def connect(url: str, api_key: SecretStr | None) -> AsyncQdrantClient:
    """A client of the server at `url`; nothing is sent yet."""
    return AsyncQdrantClient(
        url=url,
        api_key=api_key.get_secret_value() if api_key else None,
        timeout=_CLIENT_TIMEOUT_S,
        check_compatibility=False,  # it would call the server here and now
    )


class ServerCalls:
    """Args:
    timeout_s: of a call outside any deadline.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._failed_at: float | None = None

    @property
    def trouble(self) -> str | None:
        """Whether the last call found no server, and not long ago."""
        recently = self._failed_at and time.monotonic() - self._failed_at < _TROUBLED_S
        return "the server of the vectors cannot be reached" if recently else None

    async def call(self, make: Callable[[int], Awaitable[_Answer]]) -> _Answer:
        """The answer to what `make` calls, which is told the seconds that the server may take.

        Raises:
            CollectionMissing: the server has none of that name.
            Unavailable: it cannot be reached, or is at capacity.
            DeadlineExceeded: it did not answer in time.
            UpstreamFailed: it refused what a sound one accepts.
        """
        left_s = self._left_s()
        if left_s <= 0:
            raise DeadlineExceeded
        try:
            async with asyncio.timeout(left_s):
                answer = await make(max(1, math.ceil(left_s)))
        except TimeoutError:
            raise DeadlineExceeded("the vector store did not answer in time") from None
        except ResourceExhaustedResponse as error:
            raise Unavailable(
                "the vector store is at capacity", retry_after_s=error.retry_after_s
            ) from error
        except ResponseHandlingException as error:
            self._failed_at = time.monotonic()
            raise Unavailable("the vector store cannot be reached") from error
        except UnexpectedResponse as error:
            raise self._of_status(error) from error
        self._failed_at = None
        return answer

    async def pause(self, seconds: float) -> None:
        """Raises:
        DeadlineExceeded: there is not so much time."""
        if self._left_s() <= seconds:
            raise DeadlineExceeded("the vector store is still at work")
        await asyncio.sleep(seconds)

    def _left_s(self) -> float:
        deadline = current_deadline()
        return deadline.left_s() if deadline else self._timeout_s

    def _of_status(self, error: UnexpectedResponse) -> ServiceError:
        status = error.status_code or 500
        if status == 404:
            return CollectionMissing("there is no collection of that name")
        _log.error("the vector store refused a call", extra={"status": status, "why": str(error)})
        if status == 408:
            return DeadlineExceeded("the vector store did not answer in time")
        if status == 429 or status >= 500:
            self._failed_at = time.monotonic()
            return Unavailable("the vector store failed")
        return UpstreamFailed("the vector store refused a call")
