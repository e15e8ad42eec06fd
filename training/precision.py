"""Which numbers are computed with: bfloat16 where the processor has it, float32 elsewhere.

A processor without instructions for bfloat16 emulates it: measured on two AVX2 cores, products of
the sizes of the starter models take seven to nine times as long as in float32. Weights are kept as
they are told to be, whatever was computed with.
"""

from functools import cache

import torch

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # the last is ARM's


@cache
def dtype() -> torch.dtype:
    """What this machine's processor computes with."""
    can = torch.cpu.get_capabilities()
    native = any(can.get(name, False) for name in _INSTRUCTIONS)
    return torch.bfloat16 if native else torch.float32


def autocast() -> torch.autocast:
    """Products in `dtype`, of weights and states in float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype() is torch.bfloat16)


def name() -> str:
    return str(dtype()).removeprefix("torch.")
