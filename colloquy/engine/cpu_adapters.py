"""Adapters on vLLM's CPU engine: many times faster, and right beside requests without one.

vLLM 0.31 copies the whole matrix of its adapter for every token before it multiplies, which costs
several times what the model itself does; and it reads the number of "no adapter", -1, as the last
slot. Here the tokens of one adapter are multiplied by its matrices at once, and tokens without an
adapter get nothing. `vllm_plugin` puts these functions in the place of vLLM's.
"""

from collections.abc import Callable, Sequence
from typing import Any

Tensor = Any
Groups = list[tuple[int, Tensor | None]]

FEW_TOKENS = 64
"""Below it the fixed cost of a bfloat16 product is more than the whole product in float32."""


def groups(slots: Tensor) -> Groups:
    """The slots in use, each with its tokens; None stands for all of them.

    Args:
        slots: of each token, (tokens,); -1 for none.
    """
    used = sorted(set(slots.tolist()))
    if len(used) == 1:
        return [(used[0], None)] if used[0] >= 0 else []
    return [(slot, (slots == slot).nonzero()[:, 0]) for slot in used if slot >= 0]


def remember_groups(update_metadata: Callable[..., None]) -> Callable[..., None]:
    """Wraps `PunicaWrapperBase.update_metadata`: which tokens are whose is found once a step."""

    def remembering(self: Any, *args: Any, **named: Any) -> None:
        update_metadata(self, *args, **named)
        self.token_groups = groups(self.token_lora_indices)

    return remembering


def add_lora_linear(
    self: Any,
    y: Tensor,
    x: Tensor,
    lora_a_stacked: tuple[Tensor, ...],
    lora_b_stacked: tuple[Tensor, ...],
    scale: float,
    output_slices: tuple[int, ...],
    *,
    buffer: tuple[Tensor, ...] | None = None,  # noqa: ARG001 - vLLM's, as the next
    **kwargs: Any,  # noqa: ARG001
) -> None:
    """Adds to a linear layer's output what each token's adapter says; names are vLLM's.

    Args:
        y: (tokens, out), changed in place.
        x: (tokens, width).
        lora_a_stacked: for each part of the layer (q, k, v, say) A of every slot,
            (slots, 1, rank, width).
        lora_b_stacked: the same of B, (slots, 1, part's out, rank).
        output_slices: columns of `y` that each part has.
    """
    for slot, rows in self.token_groups:
        tokens = x if rows is None else x[rows]
        if len(tokens) < FEW_TOKENS:
            tokens = tokens.float()
        told = _parts(tokens, slot, lora_a_stacked, lora_b_stacked)
        start = 0
        for part, size in zip(told, output_slices, strict=True):
            part = part if scale == 1 else part * scale
            place = slice(start, start + size)
            if rows is None:
                y[:, place] += part
            else:
                y[rows, place] += part.to(y.dtype)
            start += size


def _parts(
    tokens: Tensor, slot: int, stacked_a: Sequence[Tensor], stacked_b: Sequence[Tensor]
) -> list[Tensor]:
    """Each part's product, (tokens, part's out), computed in the tokens' own precision."""
    return [
        (tokens @ a[slot, 0].to(tokens.dtype).t()) @ b[slot, 0].to(tokens.dtype).t()
        for a, b in zip(stacked_a, stacked_b, strict=True)
    ]
