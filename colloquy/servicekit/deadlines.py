"""One deadline for a request: started once, carried on every hop, ending the work at zero."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from colloquy.servicekit.problems import DeadlineExceeded

DEADLINE_HEADER = "x-colloquy-deadline-ms"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock, in seconds."""

    expires_at: float

    @classmethod
    def after_ms(cls, ms: float) -> Self:
        return cls(time.monotonic() + ms / 1_000)

    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.expires_at - time.monotonic())

    def left_ms(self) -> int:
        return int(self.left_s() * 1_000)

    @property
    def expired(self) -> bool:
        return self.left_s() <= 0


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current_deadline() -> Deadline | None:
    """The deadline of the request being served; None where nothing set one."""
    return _deadline.get()


@asynccontextmanager
async def start_deadline(ms: float) -> AsyncIterator[Deadline]:
    """Ends the work inside after `ms`, or sooner when an outer deadline is nearer.

    Raises:
        DeadlineExceeded: the time is up; the work inside has been cancelled.
    """
    deadline, outer = Deadline.after_ms(ms), _deadline.get()
    if outer is not None and outer.expires_at < deadline.expires_at:
        deadline = outer
    token = _deadline.set(deadline)
    limit = asyncio.timeout(deadline.left_s())
    try:
        async with limit:
            yield deadline
    except TimeoutError:
        if limit.expired():
            raise DeadlineExceeded("the work did not end in time") from None
        raise
    finally:
        _deadline.reset(token)
