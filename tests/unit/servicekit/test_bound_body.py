import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from colloquy.servicekit import middleware
from colloquy.servicekit.middleware import BoundBody
from colloquy.servicekit.problems import BodyTooSlow, Overloaded, TooLarge

SCOPE = {"type": "http", "headers": []}


class Reader:
    """An application that reads its body and then works until it may end."""

    def __init__(self) -> None:
        self.read = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.read.set()
        await self.may_end.wait()


async def ask(app: BoundBody, *chunks: bytes) -> None:
    left = list(chunks)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent here")

    await app(SCOPE, receive, send)


async def test_bodies_under_way_are_bounded_together_and_room_comes_back() -> None:
    reader = Reader()
    app = BoundBody(reader, max_bytes=10, max_total_bytes=12)
    first = asyncio.create_task(ask(app, b"12345", b"67890"))
    await reader.read.wait()
    with pytest.raises(Overloaded) as refusal:
        await ask(app, b"12", b"3")
    assert refusal.value.retry_after_s == 1

    reader.may_end.set()
    await first
    await ask(app, b"1234567890")  # what was refused holds no room either


async def test_one_body_is_bounded_by_what_arrives() -> None:
    with pytest.raises(TooLarge):
        await ask(BoundBody(Reader(), max_bytes=4), b"123", b"45")


async def trickle(app: BoundBody, chunk: bytes, every_s: float) -> None:
    async def receive() -> Message:
        await asyncio.sleep(every_s)
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent here")

    await app(SCOPE, receive, send)


@pytest.mark.parametrize(("chunk", "every_s"), [(b"", 60.0), (b"x", 0.01)])
async def test_a_body_that_stands_still_or_trickles_gives_up_its_place(
    monkeypatch: pytest.MonkeyPatch, chunk: bytes, every_s: float
) -> None:
    monkeypatch.setattr(middleware, "_BODY_PATIENCE_S", 0.1)
    app = BoundBody(Reader(), max_bytes=10**6)
    with pytest.raises(BodyTooSlow):
        await asyncio.wait_for(trickle(app, chunk, every_s), 5)


async def test_a_handler_may_work_longer_than_a_body_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "_BODY_PATIENCE_S", 0.05)
    reader = Reader()
    asking = asyncio.create_task(ask(BoundBody(reader, max_bytes=10), b"12"))
    await asyncio.sleep(0.2)
    reader.may_end.set()
    await asking
