"""What Colloquy changes inside vLLM's own processes, on a CPU only: `docs/adr/0006`.

vLLM calls `register` in each of its processes, by the entry point `vllm.general_plugins`. What no
longer has the form that is known here is left alone: the engine is then slower, never wrong.
"""

import inspect
import logging
from typing import Any

from colloquy.engine import cpu_adapters

SPIN_S = 0.02
"""Longer than a step of a small model: while it writes, its worker never sleeps."""

_log = logging.getLogger(__name__)


def register() -> None:
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        _multiply_adapters_at_once()
        _let_idle_workers_sleep()


def _multiply_adapters_at_once() -> None:
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    replaced = (
        cpu_adapters.bgmv_shrink,
        cpu_adapters.bgmv_expand,
        cpu_adapters.bgmv_expand_slice,
    )
    for ours in replaced:
        theirs = getattr(lora_ops, ours.__name__, None)
        if theirs is None or _parameters(theirs) != _parameters(ours):
            _log.warning("vLLM's adapters have another form now; they stay slow on a CPU")
            return
    for ours in replaced:
        for module in (lora_ops, torch_ops, punica_cpu):
            setattr(module, ours.__name__, ours)


def _let_idle_workers_sleep() -> None:
    """A worker polls for a second after each message, so one probe a second keeps a core busy."""
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    waits = SpinCondition.__init__
    if _parameters(waits)[-1:] != ["busy_loop_s"] or waits.__defaults__ != (1,):
        _log.warning("vLLM's workers wait in another way now; idle ones may keep a core busy")
        return
    waits.__defaults__ = (SPIN_S,)


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)
