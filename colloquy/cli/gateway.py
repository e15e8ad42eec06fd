"""The gateway as the command line calls it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from colloquy.cli.failure import CommandFailed
from colloquy.local.control import Stack

KEY_VARIABLE = "COLLOQUY_API_KEY"
_LONGEST_S = 930.0
_MOST_FAULTS = 3
_PATIENCE_S = 300.0
_BUSY = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
_LONGEST_WAIT_S = 30.0
_AWAY_S = 1.0
_SILENT_S = 60.0


class Refused(CommandFailed):
    """The gateway refuses; the message is in its own words.

    Attributes:
        status: of the answer.
    """

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class Gateway:
    """Calls a gateway. May be used from several threads.

    Args:
        patience_s: how long a gateway that says 429 or 503, or that went away after an answer, is
            asked again; 0 asks once. Only for calls that may come twice: those that change
            nothing, or have a key.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        patience_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience_s = patience_s
        self._sleep = sleep
        self._was_there = False
        self._http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=_LONGEST_S,
            trust_env=False,
        )

    @classmethod
    def of(cls, stack: Stack, *, patient: bool = False) -> Self:
        """The gateway of a running stack, with the caller's key or, while there are no keys, with
        the token that `up` made.

        Raises:
            CommandFailed: the stack is down.
        """
        state = stack.state()
        if state is None:
            raise CommandFailed("the stack is down; `colloquy up` starts it")
        key = os.environ.get(KEY_VARIABLE) or state.page_token
        return cls(state.api_url, key, patience_s=_PATIENCE_S if patient else 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.call("POST", path, json=body)

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """One call, asked again while the gateway has no room or is away.

        Raises:
            Refused: it says no. CommandFailed: it does not answer.
        """
        give_up = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._http.request(method, path, **request)
            except httpx.HTTPError as error:
                if self._was_there and time.monotonic() + _AWAY_S < give_up:
                    self._sleep(_AWAY_S)
                    continue
                raise CommandFailed("the gateway does not answer; see `colloquy status`") from error
            self._was_there = True
            if answer.is_success:
                content: dict[str, Any] = answer.json() if answer.content else {}
                return content
            wait_s = _wait_s(answer)
            if answer.status_code not in _BUSY or time.monotonic() + wait_s > give_up:
                raise Refused(words_of(answer), answer.status_code)
            self._sleep(wait_s)

    @contextmanager
    def lines(self, path: str) -> Iterator[Iterator[str]]:
        """The lines of an answer that goes on while something happens.

        Raises:
            Refused: the gateway says no. CommandFailed: it does not answer, or the stream breaks.
        """
        headers = {"accept": "text/event-stream"}
        timeout = httpx.Timeout(_LONGEST_S, read=_SILENT_S)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                    raise Refused(words_of(answer), answer.status_code)
                yield answer.iter_lines()
        except httpx.HTTPError as error:
            raise CommandFailed("the gateway does not answer; see `colloquy status`") from error

    def upload(self, data_url: str) -> str:
        """The reference of a picture."""
        return str(self.post("/v1/images", {"image": {"url": data_url}})["ref"])

    def upload_bytes(self, data: bytes, media_type: str) -> str:
        """The reference of a picture."""
        headers = {"content-type": media_type}
        return str(self.call("POST", "/v1/images", content=data, headers=headers)["ref"])


def _wait_s(answer: httpx.Response) -> float:
    written = answer.headers.get("retry-after", "1")
    return min(float(written), _LONGEST_WAIT_S) if written.isdecimal() else 1.0


def words_of(answer: httpx.Response) -> str:
    """A problem in one line, with the places that are wrong; the detail is often the first."""
    try:
        problem = answer.json()
        detail = problem["detail"]
        words = f"{problem['title']}: {detail}" if detail else problem["title"]
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {answer.status_code}"
    told = (problem.get("faults") or [])[:_MOST_FAULTS]
    faults = [f"{fault['at']}: {fault['why']}" for fault in told]
    faults = [fault for fault in faults if fault != detail]
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        faults.append(f"the key is read from {KEY_VARIABLE}")
    if wait := answer.headers.get("retry-after"):
        faults.append(f"try again in {wait} s")
    return "; ".join([words, *faults])
