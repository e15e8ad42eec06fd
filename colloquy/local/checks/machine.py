"""Memory, disk, port and GPUs against what a profile needs."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from colloquy.local import processor
from colloquy.local.checks.finding import Finding, failed, ok, warning
from colloquy.local.checks.models import our_engines, weights_bytes
from colloquy.local.control import Stack
from colloquy.local.engine_command import dtype_of
from colloquy.local.plan import gateway_address
from colloquy.local.ports import holder_of
from colloquy.profile import Profile

_GB = 1e9
_GIB = 2**30
# Measured on the starter engine: three processes without weights, and the services.
_ENGINE_GB = 3.0
_SERVICES_GB = 0.8
_STATE_GB = 2.0


def check_memory(profile: Profile) -> Iterator[Finding]:
    cpu = {name: e for name, e in our_engines(profile).items() if e.device == "cpu"}
    needed = _SERVICES_GB + _ENGINE_GB * len(our_engines(profile))
    unknown = []
    for name, engine in cpu.items():
        weights = weights_bytes(profile, name, engine)
        if weights is None:
            unknown.append(name)
        # Files hold numbers of 16 bits.
        wide = 2 if dtype_of(engine) == "float32" else 1
        needed += wide * (weights or 0) / _GB + engine.kv_cache_gib * _GIB / _GB
    available = _available_memory_gb()
    detail = f"{needed:.1f} GB needed, {available:.1f} GB available"
    if unknown:
        detail += f", and the weights of {', '.join(unknown)}, which are not here yet"
    yield (ok if available >= needed else warning)("memory", detail)


def check_processor(profile: Profile) -> Iterator[Finding]:
    """Whether engines on the CPU compute with what it has instructions for."""
    cpu = {name: e for name, e in our_engines(profile).items() if e.device == "cpu"}
    if not cpu or processor.has_bfloat16():
        return
    yield ok("processor", "has no instructions for bfloat16: without a `dtype`, float32")
    for name, engine in cpu.items():
        if engine.dtype == "bfloat16":
            yield warning(f"engine {name}", "dtype: bfloat16 is emulated here, slower than float32")


def check_disk(profile: Profile) -> Finding:
    folder = profile.state_dir
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / _GB
    detail = f"{free_gb:.1f} GB free where {profile.state} lies"
    return ok("disk", detail) if free_gb >= _STATE_GB else failed("disk", detail)


def check_port(profile: Profile, path: Path) -> Finding:
    host, port = gateway_address(profile)
    holder = holder_of(host, port)
    if holder is None:
        return ok("port", f"{port} on {host} is free")
    if Stack(profile, path).state() is not None:
        return ok("port", f"{port} on {host} is this stack's own")
    return failed("port", f"gateway/port: {port} on {host} is {holder}")


def check_gpus(profile: Profile) -> Iterator[Finding]:
    wanted = {name: e for name, e in our_engines(profile).items() if e.device == "cuda"}
    if not wanted:
        return
    gpus = _gpus()
    count = max(engine.tensor_parallel for engine in wanted.values())
    if len(gpus) < count:
        names = ", ".join(wanted)
        yield failed("gpu", f"{names}: {count} NVIDIA GPU needed, {len(gpus)} found")
        return
    share = sum(engine.gpu_memory_share for engine in wanted.values())
    if share > 1:
        yield failed("gpu", f"the engines' shares of GPU memory add up to {share:.2f}")
        return
    yield ok("gpu", "; ".join(gpus))


def _available_memory_gb() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1_024 / _GB
    return 0.0


def _gpus() -> list[str]:
    """Name and memory of each, as the driver's own tool says."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
