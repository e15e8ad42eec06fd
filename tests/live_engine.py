"""A real vLLM engine on a Unix socket, for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from tests import starter

START_WITHIN_S = 600.0


@dataclass
class LiveEngine:
    """A running engine and its parts.

    Attributes:
        address: `unix:/path/to.sock`.
        process: the API server; what computes is among its children.
    """

    address: str
    model: str
    folder: Path
    log: Path
    process: "subprocess.Popen[bytes]"

    def family(self) -> list[psutil.Process]:
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def core(self) -> psutil.Process:
        """The process that schedules and computes."""
        cores = [p for p in self.family() if "EngineCore" in p.name() or _is_core(p)]
        assert cores, "the engine has no core process"
        return cores[0]


def _is_core(process: psutil.Process) -> bool:
    return any("EngineCore" in piece for piece in process.cmdline())


@contextmanager
def launch_engine(
    base: Path,
    folder: Path,
    *,
    model: str = starter.BASE,
    max_loras: int = 8,
    runner: Literal["generate", "pooling"] = "generate",
    dtype: str = "bfloat16",
) -> Iterator[LiveEngine]:
    """Begins to start an engine on the checkpoint in `base`, and ends it, children included.

    `await_engine` returns when it serves; meanwhile another may be launched, too.
    """
    path, log = folder / "engine.sock", folder / "engine.log"
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(base), "--served-model-name", model, "--uds", str(path),
        "--dtype", dtype, "--max-model-len", "4096", "--max-num-seqs", "8",
        "--limit-mm-per-prompt", '{"image": 16, "video": 0}',
        "--allowed-media-domains", "none.invalid",
        "--enable-lora", "--max-loras", str(max_loras), "--max-lora-rank", "64",
        "--enforce-eager", "--enable-prompt-tokens-details", "--runner", runner,
    ]  # fmt: skip
    if runner == "generate":
        command += ["--logprobs-mode", "processed_logprobs"]
    path.unlink(missing_ok=True)
    environment = os.environ | {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    engine = LiveEngine(f"unix:{path}", model, base, log, process)
    try:
        yield engine
    finally:
        stop(engine)


def stop(engine: LiveEngine) -> None:
    # A killed API server leaves its core alive, so the whole session of processes goes.
    try:
        os.killpg(engine.process.pid, signal.SIGCONT)
        os.killpg(engine.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    engine.process.wait(timeout=30)


def await_engine(engine: LiveEngine) -> LiveEngine:
    path = Path(engine.address.removeprefix("unix:"))
    give_up = time.monotonic() + START_WITHIN_S
    while not _listens(path):
        if engine.process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError("the engine did not start:\n" + engine.log.read_text()[-4_000:])
        time.sleep(0.5)
    return engine


def _listens(path: Path) -> bool:
    """Its socket is bound at once, and listens only when the model is loaded."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
