"""Real servers for tests."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import uvicorn
from fastapi import FastAPI

from colloquy.servicekit.serving import bind


@contextmanager
def serve_in_thread(
    app: FastAPI, *, socket_path: Path | None = None, start_within_s: float = 20.0
) -> Iterator[str]:
    """Runs `app` under uvicorn and yields its address, as `ServiceClient` takes it.

    That is `http://127.0.0.1:port` on a free port, or `unix:<socket_path>`.
    """
    listen = f"unix:{socket_path}" if socket_path else "127.0.0.1:0"
    bound = bind(listen)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    give_up = time.monotonic() + start_within_s
    try:
        while not server.started:
            if not thread.is_alive() or time.monotonic() > give_up:
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield listen if socket_path else f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=start_within_s)
        bound.close()
        if socket_path:
            socket_path.unlink(missing_ok=True)
