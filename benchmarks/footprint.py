"""What a ready, idle stack takes: memory of every process, and how long it took to be ready."""

import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.own_stack import OwnStack
from colloquy.local.control import Stack


def measure(stack: OwnStack) -> dict[str, Any]:
    processes = memory(stack.control)
    return {
        "ready_s": [round(value, 1) for value in stack.ready_s],
        "ready_median_s": round(statistics.median(stack.ready_s), 1),
        "pss_mib": processes,
        "pss_mib_in_all": sum(processes.values()),
    }


def memory(stack: Stack) -> dict[str, int]:
    """Proportional set size in MiB: pages that processes share are counted once in all."""
    state = stack.state()
    if state is None:
        return {}
    found = {"supervisor": _pss_mib([psutil.Process(state.supervisor[0])])}
    for child in state.children:
        if child.pid is None:
            continue
        process = psutil.Process(child.pid)
        found[child.name] = _pss_mib([process])
        for other in process.children(recursive=True):
            name = f"{child.name}: {_title(other)}"
            found[name] = found.get(name, 0) + _pss_mib([other])
    return found


def _pss_mib(processes: Sequence[psutil.Process]) -> int:
    total: int = sum(process.memory_full_info().pss for process in processes)
    return round(total / 2**20)


def _title(process: psutil.Process) -> str:
    words: list[str] = process.cmdline() or [process.name()]
    if words[0].startswith("VLLM::"):
        return words[0]
    modules = [word for before, word in pairwise(words) if before == "-m"]
    return modules[0] if modules else Path(words[0]).name
