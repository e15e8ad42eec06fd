"""Competitors in a virtual environment of their own: `infinity_emb` and FAISS.

Their pins contradict ours, so they never share our environment. It is made once, under `var/`.
"""

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "var" / "bench" / "others"
TORCH = "torch==2.13.0+cpu"
# Its extra `server` leaves out what it needs to read pictures, and `vision` brings a torchvision
# that does not load beside a CPU build of torch.
PACKAGES = ("infinity_emb[server,torch]==0.0.78", "aiohttp", "pillow", "faiss-cpu==1.15.1")
_START_WITHIN_S = 180.0


class OthersFailed(Exception):
    """A competitor cannot be run; the message says why."""


def python_of_others() -> Path:
    """Makes the environment where it is not there yet; returns its interpreter.

    Raises:
        OthersFailed: pip could not.
    """
    python = FOLDER / "bin" / "python"
    done = FOLDER / "made"
    if done.exists():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
        for wanted in ((TORCH,), (*PACKAGES, TORCH)):
            subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", *wanted],
                check=True,
                stderr=subprocess.DEVNULL,
            )
    except (subprocess.CalledProcessError, OSError) as error:
        raise OthersFailed(f"the competitors' environment cannot be made: {error}") from error
    done.write_text("\n".join(PACKAGES) + "\n")
    return python


@dataclass(frozen=True, slots=True)
class Infinity:
    """A running `infinity_emb` server."""

    client: httpx.AsyncClient

    async def embed_text(self, text: str) -> list[float]:
        return await self._embed(text, "text")

    async def embed_picture(self, png: bytes) -> list[float]:
        data = base64.b64encode(png).decode()
        return await self._embed(f"data:image/png;base64,{data}", "image")

    async def _embed(self, given: str, modality: str) -> list[float]:
        body = {"model": "clip", "input": [given], "modality": modality}
        answer = await self.client.post("/embeddings", json=body)
        answer.raise_for_status()
        vector: list[float] = answer.json()["data"][0]["embedding"]
        return vector


@contextmanager
def infinity_server(weights: Path, *, threads: int, dtype: str = "float32") -> Iterator[str]:
    """Serves CLIP weights of transformers' form; yields the address.

    Raises:
        OthersFailed: it does not start.
    """
    python = python_of_others()
    port = _free_port()
    command = [
        str(python.with_name("infinity_emb")), "v2", "--model-id", str(weights),
        "--served-model-name", "clip", "--engine", "torch", "--device", "cpu",
        "--dtype", dtype, "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, address)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_faiss(folder: Path, names: Sequence[str]) -> str:
    """Runs `benchmarks/faiss_worker.py` on vectors in `folder`; returns what it printed."""
    worker = Path(__file__).with_name("faiss_worker.py")
    done = subprocess.run(
        [str(python_of_others()), str(worker), str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise OthersFailed(f"FAISS: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    give_up = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{address}/health", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise OthersFailed("infinity_emb did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
