"""Whether a port is free, and who has it if not."""

import os
import socket
from pathlib import Path

from colloquy.local.processes import PROC, title_of

_LISTEN = "0A"


def holder_of(host: str, port: int) -> str | None:
    """None if one may listen there; else why not, naming who does if that may be known."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do it: connections that linger from the last start are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            pid = _listener(port)
            if pid is None:
                return f"{error.strerror}"
            return f"taken by process {pid} (`{title_of(pid)[:80]}`)"
    return None


def _listener(port: int) -> int | None:
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for entry in PROC.iterdir() if inodes else ():
        if entry.name.isdecimal() and _holds(entry / "fd", inodes):
            return int(entry.name)
    return None


def _holds(descriptors: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in inodes for entry in descriptors.iterdir())
    except OSError:
        return False
