"""The gateway as the command line calls it."""

import os
from types import TracebackType
from typing import Any, Self

import httpx

from colloquy.cli.failure import CommandFailed
from colloquy.local.control import Stack

KEY_VARIABLE = "COLLOQUY_API_KEY"
_LONGEST_S = 930.0
_MOST_FAULTS = 3


class Gateway:
    """Calls the stack's gateway with the caller's key or, while there are no keys, with the token
    that `up` made.

    Raises:
        CommandFailed: the stack is down, or the gateway refuses; in the gateway's own words.
    """

    def __init__(self, stack: Stack) -> None:
        state = stack.state()
        if state is None:
            raise CommandFailed("the stack is down; `colloquy up` starts it")
        key = os.environ.get(KEY_VARIABLE) or state.page_token
        self._http = httpx.Client(
            base_url=state.api_url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=_LONGEST_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise CommandFailed("the gateway does not answer; see `colloquy status`") from error
        if not answer.is_success:
            raise CommandFailed(_words(answer))
        content: dict[str, Any] = answer.json()
        return content

    def upload(self, data_url: str) -> str:
        """The reference of a picture."""
        return str(self.post("/v1/images", {"image": {"url": data_url}})["ref"])


def _words(answer: httpx.Response) -> str:
    """A problem in one line, with the places that are wrong."""
    try:
        problem = answer.json()
        words = (
            f"{problem['title']}: {problem['detail']}" if problem["detail"] else problem["title"]
        )
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {answer.status_code}"
    told = (problem.get("faults") or [])[:_MOST_FAULTS]
    faults = [f"{fault['at']}: {fault['why']}" for fault in told]
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        faults.append(f"the key is read from {KEY_VARIABLE}")
    if wait := answer.headers.get("retry-after"):
        faults.append(f"try again in {wait} s")
    return "; ".join([words, *faults])
