"""Adapters on vLLM's CPU engine: many times faster, and right beside requests without one.

vLLM 0.31 copies the whole matrix of its adapter for every token before it multiplies, which costs
several times what the model itself does; and it reads the number of "no adapter", -1, as the last
slot. Here the tokens of one adapter are multiplied by its matrix at once, and tokens without an
adapter get nothing. The only module that knows vLLM's inside: `docs/adr/0006`.

vLLM loads it in each of its processes, by the entry point `vllm.general_plugins`.
"""

import inspect
import logging
from typing import Any

Tensor = Any

_log = logging.getLogger(__name__)


def register() -> None:
    """Puts the functions below in the place of vLLM's, unless those have changed their form."""
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    for ours in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
        theirs = getattr(lora_ops, ours.__name__, None)
        if theirs is None or _parameters(theirs) != _parameters(ours):
            _log.warning("vLLM's adapters have changed their form; they stay slow on a CPU")
            return
    for ours in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
        for module in (lora_ops, torch_ops, punica_cpu):
            setattr(module, ours.__name__, ours)


def bgmv_shrink(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    lora_indices_tensor: Tensor,
    scaling: float = 1.0,
) -> None:
    """Sets `output_tensor` (tokens, rank) to `scaling` times each token by its adapter's A.

    Args:
        inputs: (tokens, width).
        lora_b_weights: A of every slot, (slots, 1, rank, width); the name is vLLM's.
        lora_indices_tensor: slot of each token, -1 for none.
    """
    told = _products(inputs, lora_b_weights, lora_indices_tensor, output_tensor.dtype)
    output_tensor[:, : told.shape[1]] = scaling * told


def bgmv_expand(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    lora_indices_tensor: Tensor,
    add_inputs: bool = True,
) -> None:
    """Adds to `output_tensor` (tokens, out) each token's `inputs` (tokens, rank) by its B."""
    told = _products(inputs, lora_b_weights, lora_indices_tensor, output_tensor.dtype)
    # Adapter and model may pad their outputs differently.
    width = min(told.shape[1], output_tensor.shape[1])
    _put(output_tensor[:, :width], told[: len(output_tensor), :width], add=add_inputs)


def bgmv_expand_slice(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    lora_indices_tensor: Tensor,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    """As `bgmv_expand`, into `slice_size` columns from `slice_offset`: several layers in one."""
    told = _products(inputs, lora_b_weights, lora_indices_tensor, output_tensor.dtype)
    _put(output_tensor[:, slice_offset : slice_offset + slice_size], told, add=add_inputs)


def _products(inputs: Tensor, weights: Tensor, slots: Tensor, dtype: Any) -> Tensor:
    """Each token by the matrix of its slot: (tokens, out), zeros where there is none."""
    if weights.dim() == 4:
        weights = weights.squeeze(1)  # (slots, out, in)
    inputs = inputs.to(dtype)
    lowest, highest = int(slots.min()), int(slots.max())
    if lowest == highest >= 0:  # as nearly always
        return inputs @ weights[lowest].to(dtype).t()
    told = inputs.new_zeros(len(slots), weights.shape[1])
    for slot in range(max(lowest, 0), highest + 1):
        rows = (slots == slot).nonzero()[:, 0]
        if len(rows):
            told[rows] = inputs[rows] @ weights[slot].to(dtype).t()
    return told


def _put(place: Tensor, told: Tensor, *, add: bool) -> None:
    if add:
        place += told
    else:
        place[:] = told


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)
