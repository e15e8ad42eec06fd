"""A gateway that says what a test tells it to: for what a real stack does not do on demand."""

import base64
import json
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.doubles.page_corpus import CorpusDouble
from tests.doubles.page_replies import Reply, Stream, problem
from tests.doubles.page_routes import answer_of, is_over_collections

CONSOLE = Path(__file__).resolve().parents[3] / "console"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def found(utterance_ids: list[int], image_ids: list[int]) -> Reply:
    fragment = {"dialogue_id": None, "utterance_ids": utterance_ids, "image_ids": image_ids}
    return Reply(
        {
            "fragments": [fragment] if utterance_ids or image_ids else [],
            "degraded": [],
            "models": {"fragment": "fragment@1"},
            "timings_ms": {"refine": 371.4, "total": 378.9},
            "request_id": "req-of-an-answer",
        }
    )


def split(topics: list[list[int]]) -> Reply:
    return Reply(
        {
            "fragments": [{"utterance_ids": ids, "image_ids": []} for ids in topics],
            "degraded": [],
            "models": {"split": "split@1"},
            "timings_ms": {"split": 521.0, "total": 530.2},
            "request_id": "req-of-a-split",
        }
    )


def picture(red: int, green: int, blue: int, side: int = 24) -> str:
    """A PNG of one colour, as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + bytes((red, green, blue)) * side) * side
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def sample_dialogues() -> list[dict[str, Any]]:
    """Two short samples, English and Chinese, with two pictures in the first."""
    english = [
        ("Ana", "We should book the cabin soon."),
        ("Ben", "Yes, it is nearly full in March."),
        ("Ana", [_text("Look what I found at the market"), _image(picture(200, 40, 40))]),
        ("Ben", "Lovely! How much was it?"),
        ("Ana", "Twelve euros."),
        ("Ben", [_image(picture(40, 80, 200))]),
        ("Ana", "That one is for the bathroom."),
    ]
    chinese = [("小明", "周末去放风筝吗?"), ("小红", "好啊,去河边。"), ("小明", "我带水。")]
    return [
        {
            "title": "A cabin and a market",
            "language": "en",
            "dialogue": {"id": "d-1", "utterances": _turns(english)},
            "queries": [
                {"query": "the price of the find", "answered_by": "text"},
                {"query": "something blue", "answered_by": "picture"},
            ],
        },
        {
            "title": "周末的风筝",
            "language": "zh",
            "dialogue": {"id": "d-2", "utterances": _turns(chinese)},
            "queries": [{"query": "他们去哪里?", "answered_by": "text"}],
        },
    ]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _turns(lines: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": n, "speaker": who, "content": what} for n, (who, what) in enumerate(lines)]


class StandIn:
    """What the stand-in does next, and what it was asked.

    Attributes:
        key: when set, other bearers get 401.
        ready: what `/readyz` says.
        replies: given in order to POSTs; when none is left, `otherwise` answers.
        corpus: collections, jobs and the search in them; asked before `otherwise`.
        corpus_replies: given, in order, in place of what the corpus would do.
    """

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.samples = samples
        self.key: str | None = None
        self.ready = True
        self.replies: deque[Reply] = deque()
        self.otherwise = found([], [])
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self.corpus = CorpusDouble()
        self.corpus_replies: deque[Reply] = deque()

    def admits(self, authorization: str) -> bool:
        return self.key is None or authorization.removeprefix("Bearer ") == self.key

    def over_collections(
        self, method: str, target: str, body: bytes, headers: Any
    ) -> Reply | Stream | None:
        """The part of the API that is about collections; None where it is about something else."""
        if not is_over_collections(method, target, body):
            return None
        if not self.admits(headers.get("authorization", "")):
            return problem(401, "unauthenticated", "A key is needed", "No key was sent.")
        if self.corpus_replies and method != "GET":
            return self.corpus_replies.popleft()
        return answer_of(self.corpus, method, target, body, headers)

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        self.asked.append((path, body))
        return self.replies.popleft() if self.replies else self.otherwise

    def look_up(self, path: str) -> Reply | Path:
        if path == "/samples/dialogues.json":
            return Reply(self.samples)
        if path == "/readyz":
            check = {"name": "engine starter", "ready": self.ready, "detail": None}
            if not self.ready:
                check["detail"] = "is starting"
            return Reply({"ready": self.ready, "checks": [check]}, 200 if self.ready else 503)
        file = (CONSOLE / (path.lstrip("/") or "index.html")).resolve()
        if file.is_relative_to(CONSOLE) and file.is_file():
            return file
        return problem(404, "not-found", "Not found", "There is nothing here.")


def _handler(gateway: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.over_collections():
                return
            found_here = gateway.look_up(self.path.split("?")[0])
            if isinstance(found_here, Path):
                self.send(found_here.read_bytes(), 200, {"content-type": TYPES[found_here.suffix]})
            else:
                self.give(found_here)

        def do_PUT(self) -> None:
            self.over_collections()

        def do_DELETE(self) -> None:
            self.over_collections()

        def over_collections(self) -> bool:
            """Whether the request was about collections; then it is answered."""
            self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
            reply = gateway.over_collections(self.command, self.path, self.body, self.headers)
            if isinstance(reply, Stream):
                self.stream(reply)
            elif reply is not None:
                self.give(reply)
            return reply is not None

        def stream(self, stream: Stream) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b": here it comes\r\n\r\n")
            for name, contract in stream.events:
                self.wfile.write(f"event: {name}\ndata: {contract.model_dump_json()}\n\n".encode())
                self.wfile.flush()

        def do_POST(self) -> None:
            if self.over_collections():
                return
            body = json.loads(self.body)
            if not gateway.admits(self.headers.get("authorization", "")):
                self.give(problem(401, "unauthenticated", "A key is needed", "No key was sent."))
            else:
                self.give(gateway.answer(self.path, body))

        def give(self, reply: Reply) -> None:
            if reply.hold is not None:
                reply.hold.wait(30)
            kind, data = "image/png", reply.body
            if not isinstance(data, bytes):
                kind, data = "application/json", json.dumps(data, ensure_ascii=False).encode()
            self.send(data, reply.status, {"content-type": kind} | reply.headers)

        def send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            policy = {"content-security-policy": POLICY, "cache-control": "no-cache"}
            for name, value in (headers | policy).items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that cancels closes its connection: nothing to report."""


@contextmanager
def serve(samples: list[dict[str, Any]] | None = None, port: int = 0) -> Iterator[StandIn]:
    """Runs a stand-in on loopback."""
    gateway = StandIn(sample_dialogues() if samples is None else samples)
    server = _Server(("127.0.0.1", port), _handler(gateway))
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
