"""A child that answers over HTTP and does what its arguments say:

fails       prints a reason and ends with status 3
vital       has a process titled `VITAL::core`, without which it is a shell
escapee     has a process that left its session and its parent
stubborn    ignores SIGTERM
hurried     has less time to start and to answer its first probe; see fake_stack.py
red:NAME    says in /readyz that check NAME is not ready
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

SLEEP = "import time; time.sleep(600)"


class Handler(BaseHTTPRequestHandler):
    red: tuple[str, ...] = ()

    def do_GET(self) -> None:
        checks = [{"name": name, "ready": False, "detail": "no answer"} for name in self.red]
        body = json.dumps({"ready": not checks, "checks": checks}).encode()
        self.send_response(200 if not checks or self.path != "/readyz" else 503)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "somebody"


class UnixServer(socketserver.ThreadingUnixStreamServer):
    pass


class PortServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


def start_vital() -> None:
    subprocess.Popen(["VITAL::core", "-c", SLEEP], executable=sys.executable)


def start_passer() -> None:
    """As a server looks that starts another program: its child bears its title at first."""
    code = (
        "import subprocess\n"
        "for _ in range(20):\n"
        "    subprocess.run(['VITAL::passer', '0.4'], executable='/bin/sleep')\n"
    )
    subprocess.Popen([sys.executable, "-c", code])


def start_escapee() -> None:
    """Forks twice with a session between, so that nothing but descent ties it to anybody."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            # Long enough a child of the first for the supervisor to see whose it is.
            os.execv(sys.executable, ["ESCAPEE", "-c", SLEEP])
        time.sleep(3.0)
        os._exit(0)


def main() -> None:
    address, *does = sys.argv[1:]
    if "fails" in does:
        raise SystemExit("the moon is in the wrong phase")
    if "stubborn" in does:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "vital" in does:
        start_vital()
    if "passer" in does:
        start_passer()
    if "escapee" in does:
        start_escapee()
    Handler.red = tuple(one.removeprefix("red:") for one in does if one.startswith("red:"))
    if address.isdecimal():
        server: socketserver.BaseServer = PortServer(("127.0.0.1", int(address)), Handler)
    else:
        Path(address).unlink(missing_ok=True)
        server = UnixServer(address, Handler)
    server.serve_forever()


if __name__ == "__main__":
    main()
