"""Starting processes that do not outlive the retriever, and that know none of its secrets."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_SET_PARENT_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def start(module: str, arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """`python -m module FD PID …`, and our end of the socket whose other end is its `FD`.

    Must be called from a thread that lives as long as the process should: the kernel ends the
    process with that thread.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid()), *arguments],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=_CHECKOUT,
            env={"OPENBLAS_NUM_THREADS": "1"},  # ours carries secrets
            start_new_session=True,  # Ctrl-C is the retriever's to handle
        )
    ours.setblocking(False)
    return process, ours


def end_with(parent: int) -> None:
    """Has the kernel kill this process when its parent dies, even in a call that never returns."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that
        os._exit(0)
