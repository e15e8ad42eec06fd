"""What a small CLIP takes over from the base: its words, its sight, and a teacher of sight.

Contrast with captions alone shows a tower what tells the pictures of a batch apart, colours first:
after 600 steps from random weights no thing was known. The base's tower knows them. Its layers move
over, without the rotary positions that open_clip's tower does not have; what these told is learnt
anew by naming, through a head that is thrown away, what the base sees in the same pictures.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2VLForConditionalGeneration

from training.ending import Refused
from training.vision import cut, picture_tokens

WORD_LENGTH = 0.3  # of the vectors that the text tower starts from
PLACE_SHARE = 0.1  # of the usual size of what tells places apart, which is learnt anew


def load_base(folder: Path) -> Any:
    return Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def start_words(model: Any, base: Any) -> None:
    """Starts the text tower's words from the base's.

    Of these the directions in which they differ most, as many as the tower has.
    """
    words = base.get_input_embeddings().weight.detach()
    target = model.text.token_embedding
    with torch.no_grad():
        dimensions = min(words.shape[1], target.weight.shape[1])
        centred = words - words.mean(dim=0)
        main = torch.linalg.svd(centred, full_matrices=False).Vh[:dimensions]
        known = centred @ main.T
        target.weight[:, :dimensions] = known * (WORD_LENGTH / known.norm(dim=-1).quantile(0.9))


@torch.no_grad()
def start_sight(model: Any, base: Any) -> None:
    """Puts the base's vision layers into the picture tower; further layers begin as nothing.

    Raises:
        Refused: the recipe's tower has another shape.
    """
    tower, source = model.visual, base.model.visual
    blocks, own = tower.transformer.resblocks, source.config
    found = (tower.conv1.out_channels, blocks[0].attn.num_heads)
    if found != (own.embed_dim, own.num_heads) or len(blocks) < len(source.blocks):
        raise Refused(
            f"width, heads, vision_layers: are {found[0]}, {found[1]}, {len(blocks)}; the base "
            f"sees with {own.embed_dim}, {own.num_heads} and {len(source.blocks)} layers"
        )
    # Both frames of a patch are the same still picture.
    tower.conv1.weight.copy_(source.patch_embed.proj.weight.sum(dim=2))
    tower.class_embedding.zero_()
    tower.positional_embedding.mul_(PLACE_SHARE)
    for ours, theirs in zip(blocks, source.blocks, strict=False):
        for into, of in (
            (ours.ln_1, theirs.norm1),
            (ours.ln_2, theirs.norm2),
            (ours.attn.out_proj, theirs.attn.proj),
            (ours.mlp.c_fc, theirs.mlp.fc1),
            (ours.mlp.c_proj, theirs.mlp.fc2),
        ):
            into.weight.copy_(of.weight)
            into.bias.copy_(of.bias)
        ours.attn.in_proj_weight.copy_(theirs.attn.qkv.weight)
        ours.attn.in_proj_bias.copy_(theirs.attn.qkv.bias)
    for more in blocks[len(source.blocks) :]:
        for layer in (more.attn.out_proj, more.mlp.c_proj):
            layer.weight.zero_()
            layer.bias.zero_()


class Sighted(nn.Module):
    """Names what the base sees in a picture; thrown away after training."""

    def __init__(self, width: int, base: Any) -> None:
        super().__init__()
        self.head = nn.Linear(width, base.config.text_config.hidden_size)
        self._visual = [base.model.visual]  # in a list: no part of what is taught or kept

    def forward(self, seen: Tensor, pixels: Tensor) -> Tensor:
        """Mean square of what is not told, as a share of how the base's own vectors differ.

        Args:
            seen: (pictures, width). pixels: (pictures, 3, side, side), the same ones, normalised.
        """
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            wanted = picture_tokens(self._visual[0], cut(pixels.numpy())).mean(dim=1)
        missed = (self.head(seen).float() - wanted).pow(2).sum(dim=-1).mean()
        return missed / (wanted - wanted.mean(dim=0)).pow(2).sum(dim=-1).mean()
