"""Asks a running stack many questions at once, through its public API alone."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from colloquy.cli.profiles import find_profile
from colloquy.profile import Profile

CONCURRENCY = 8
DEADLINE_MS = 300_000
"""Asked of the stack: how right it is does not depend on how busy the machine is."""
TIMEOUT_S = 330.0
PATIENCE_S = 600.0
"""How long a stack that says 429 or 503 is asked again: an engine may be coming back."""


class StackFailed(Exception):
    """The stack cannot be reached or refuses; the message is one line."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `name` says in an error which it was."""

    name: str
    path: str
    body: BaseModel


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and the seconds from sending it the last time."""

    body: Mapping[str, Any]
    seconds: float


def chosen_profile(given: str | None) -> Profile:
    """The profile that a command names as `colloquy` does: a file, or one in `profiles/`.

    Raises:
        ProfileError, CommandFailed: it cannot be used, or there is none of that name.
    """
    return Profile.load(find_profile(given))


def gateway_url(profile: Profile) -> str:
    host = profile.gateway.get("host", "127.0.0.1")
    return f"http://{host}:{profile.gateway.get('port', 8420)}"


class Stack:
    """The gateway at `url`.

    Args:
        key: an API key; None where the stack has no keys.
        concurrency: requests in flight.
        patience_s: how long 429 and 503 are answered by asking again.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        concurrency: int = CONCURRENCY,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    async def ask_all(self, asks: Sequence[Ask], *, label: str | None = None) -> list[Reply]:
        """Sends every request, a few at a time; the replies are in order.

        Args:
            label: of the progress bar; None shows none.

        Raises:
            StackFailed: one of them failed for good; the others are given up.
        """
        places = asyncio.Semaphore(self._concurrency)
        limits = httpx.Limits(max_connections=self._concurrency)
        with _progress(label) as progress:
            bar = progress.add_task(label or "", total=len(asks))

            async def one(ask: Ask) -> Reply:
                async with places:
                    reply = await self._patiently(client, ask)
                progress.advance(bar)
                return reply

            async with httpx.AsyncClient(
                base_url=self._url,
                headers=self._headers,
                timeout=self._timeout_s,
                limits=limits,
                trust_env=False,
            ) as client:
                tasks = [asyncio.create_task(one(ask)) for ask in asks]
                try:
                    return list(await asyncio.gather(*tasks))
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def _patiently(self, client: httpx.AsyncClient, ask: Ask) -> Reply:
        content = ask.body.model_dump_json(by_alias=True, exclude_none=True)
        give_up = time.monotonic() + self._patience_s
        while True:
            start = time.perf_counter()
            response = await self._send(client, ask, content)
            if response.status_code == 200:
                return Reply(response.json(), time.perf_counter() - start)
            wait_s = _retry_after_s(response)
            if wait_s is None or time.monotonic() + wait_s > give_up:
                raise StackFailed(f"{ask.name}: {described(response)}")
            await asyncio.sleep(wait_s)

    async def _send(self, client: httpx.AsyncClient, ask: Ask, content: str) -> httpx.Response:
        try:
            return await client.post(
                ask.path, content=content, headers={"content-type": "application/json"}
            )
        except httpx.TimeoutException as error:
            raise StackFailed(f"{ask.name}: no answer in {self._timeout_s:g} s") from error
        except httpx.TransportError as error:
            raise StackFailed(
                f"nothing answers at {self._url}: start the stack with `colloquy up`"
            ) from error


def _retry_after_s(response: httpx.Response) -> float | None:
    """How long to wait before asking again; None if that would not help."""
    if response.status_code not in (429, 503):
        return None
    written = response.headers.get("retry-after", "1")
    return float(written) if written.isdecimal() else 1.0


def described(response: httpx.Response) -> str:
    """Status, title, detail and request id of a problem, in one line."""
    try:
        problem = response.json()
        parts = [problem.get("title"), problem.get("detail"), problem.get("request_id")]
        return f"{response.status_code} " + ", ".join(str(part) for part in parts if part)
    except (ValueError, AttributeError):
        return f"{response.status_code}, not a problem document"


def _progress(label: str | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=label is None,
    )
