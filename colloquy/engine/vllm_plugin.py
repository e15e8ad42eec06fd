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
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    wrapper: Any = PunicaWrapperCPU
    if _parameters(wrapper.add_lora_linear) != _parameters(cpu_adapters.add_lora_linear):
        _log.warning("vLLM's adapters have another form now; they stay slow on a CPU")
        return
    wrapper.add_lora_linear = cpu_adapters.add_lora_linear
    wrapper.update_metadata = cpu_adapters.remember_groups(wrapper.update_metadata)


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
