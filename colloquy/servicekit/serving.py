"""Serving an app on a Unix socket or a port."""

import contextlib
import signal
import socket
import stat
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from colloquy.servicekit.logs import configure_logging

# Above the callers' keep-alive, so that they close idle connections and never meet a closed one.
KEEP_ALIVE_S = 75
_BACKLOG = 1_024


class CannotServe(Exception):
    """The address cannot be used; the message says which and why, in one line."""


def serve(app: FastAPI, listen: str, *, graceful_s: int = 10) -> None:
    """Serves `app` on `unix:/path/to.sock` or `host:port` until SIGTERM or SIGINT.

    A running request may finish within `graceful_s`. Returns normally after a signal.

    Raises:
        CannotServe: the address is taken or not allowed.
    """
    configure_logging(app.title)
    bound = bind(listen)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=graceful_s,
    )
    if threading.current_thread() is threading.main_thread():
        # The server raises the signal again when it has ended; the process then ends with 0.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        bound.close()
        if listen.startswith("unix:"):
            Path(listen.removeprefix("unix:")).unlink(missing_ok=True)


def bind(listen: str) -> socket.socket:
    """A bound socket; one on a path is open to this user only, and replaces a dead one."""
    if listen.startswith("unix:"):
        return _bind_path(Path(listen.removeprefix("unix:")))
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        reason = error.strerror if isinstance(error, OSError) else "not a host and a port"
        raise CannotServe(f"cannot listen on {listen}: {reason}") from error
    return bound


def _bind_path(path: Path) -> socket.socket:
    _remove_dead_socket(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        bound.bind(str(path))
        # Nobody can connect in between: the socket does not listen yet.
        path.chmod(0o600)
    except OSError as error:
        bound.close()
        raise CannotServe(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    return bound


def _remove_dead_socket(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotServe(f"cannot listen on unix:{path}: a file is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
    raise CannotServe(f"cannot listen on unix:{path}: somebody serves there already")
