"""A Qwen2-VL in parts: its embedding with pictures, and any run of its layers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2VLForConditionalGeneration

from training.data.world.pictures import PictureSpec
from training.vision import patchify, picture_tokens


class Layers:
    """Access to the parts of a model, bare or with adapters.

    Args:
        model: a Qwen2-VL; layers are changed in place where an adapter is put on it.
        image_id: the token that a picture's tokens are written as.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration, image_id: int) -> None:
        self.language: Any = model.model.language_model
        self.visual: Any = model.model.visual
        self.image_id = image_id

    @property
    def head_width(self) -> int:
        return int(self.language.layers[0].self_attn.head_dim)

    def embed(self, ids: Tensor, pictures: Sequence[PictureSpec]) -> Tensor:
        """(rows, tokens) to (rows, tokens, width), pictures in place; these take no gradient."""
        hidden = self.language.embed_tokens(ids)
        if not pictures:
            return hidden  # type: ignore[no-any-return]
        with torch.no_grad():
            seen = picture_tokens(self.visual, patchify(pictures))
        places = ids == self.image_id
        return hidden.masked_scatter(places[..., None], seen.to(hidden.dtype))  # type: ignore[no-any-return]

    def run(
        self,
        hidden: Tensor,
        positions: Tensor,
        start: int,
        stop: int,
        mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Runs layers `start` to `stop` (exclusive).

        Args:
            hidden: (rows, tokens, width). positions: (3, rows, tokens).
            mask: (rows, 1, tokens, tokens), added to what attention compares; None is causal.

        Returns:
            What each layer gives.
        """
        rotary = self.language.rotary_emb(hidden, positions)
        states = []
        with _attention_for(mask, self.language.config):
            for layer in self.language.layers[start:stop]:
                hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary)
                states.append(hidden)
        return states


@contextmanager
def _attention_for(mask: Tensor | None, config: Any) -> Iterator[None]:
    """Attends with plain products where that is faster.

    The fused kernel's way back takes two to five times as long in bf16 on a CPU, for rows of 60 to
    160 tokens; in float32 it is the faster one. Plain products need a mask to be causal.
    """
    if mask is None or mask.dtype != torch.bfloat16:
        yield
        return
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before


def levelled(hidden: Tensor) -> Tensor:
    """Scales each state to unit variance: at their own small size heads learn nothing."""
    return nn.functional.layer_norm(hidden, hidden.shape[-1:])
