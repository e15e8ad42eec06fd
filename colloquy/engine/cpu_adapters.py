"""Adapters on vLLM's CPU engine: many times faster, and right beside requests without one.

vLLM 0.31 copies the whole matrix of its adapter for every token before it multiplies, which costs
several times what the model itself does; and it reads the number of "no adapter", -1, as the last
slot. Here the tokens of one adapter are multiplied by its matrix at once, and tokens without an
adapter get nothing. `vllm_plugin` puts these functions in the place of vLLM's.
"""

from typing import Any

Tensor = Any


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
