"""Which numbers are computed with: bfloat16 where the processor has it, float32 elsewhere.

A processor without instructions for bfloat16 emulates it: measured on two AVX2 cores, products of
the sizes of the starter models take seven to nine times as long as in float32. Weights are kept as
they are told to be, whatever was computed with.
"""

from functools import cache

import torch

from colloquy.local import processor


@cache
def dtype() -> torch.dtype:
    """What this machine's processor computes with."""
    return torch.bfloat16 if processor.has_bfloat16() else torch.float32


def autocast() -> torch.autocast:
    """Products in `dtype`, of weights and states in float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype() is torch.bfloat16)


def name() -> str:
    return str(dtype()).removeprefix("torch.")
