"""The page's reader of server-sent events, however the bytes are cut."""

from typing import Any

import pytest

from tests.e2e.page.pages import Page

pytestmark = pytest.mark.browser

READ = """
const [chunks, done] = arguments;
import('./js/sse.js').then(async ({eventsOf}) => {
  const body = new ReadableStream({start(out) {
    for (const chunk of chunks) out.enqueue(Uint8Array.from(chunk));
    out.close();
  }});
  const read = [];
  for await (const {event, data} of eventsOf(new Response(body))) read.push([event, data]);
  done(read);
});
"""
STREAM = (
    ": a comment\r\n\r\n"
    'event: progress\ndata: {"state":"中文 é"}\n\n'
    "data: two\rdata:lines\r\r"
    "event: empty\n\n"
    "id: 7\nevent: done\r\ndata\r\ndata:  x: y\r\n\r\n"
    "event: cut\ndata: never ended\n"
)
EXPECTED = [
    ["progress", '{"state":"中文 é"}'],
    ["message", "two\nlines"],
    ["done", "\n x: y"],
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_whole_wherever_the_stream_is_cut(page: Page, size: int) -> None:
    data = STREAM.encode()
    chunks: list[Any] = [list(data[at : at + size]) for at in range(0, len(data), size)]

    read = page.driver.execute_async_script(READ, chunks)  # type: ignore[no-untyped-call]

    assert read == EXPECTED
