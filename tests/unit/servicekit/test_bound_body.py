import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from colloquy.servicekit.middleware import BoundBody
from colloquy.servicekit.problems import Overloaded, TooLarge

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
