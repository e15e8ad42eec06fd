"""Teaches vision tower and merger to see the world's things, then freezes them.

Throw-away classifiers read the mean of a picture's tokens, then each of them by itself: the thing,
its colour, how many there are, their pattern, what is written on a tag, what stands beside it.
What stays is a merger whose every token tells all this, at a size that suits the language model.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.modeling_qwen2_vl import (
    apply_rotary_pos_emb_vision,
    get_vision_position_ids,
)
from transformers.processing_utils import ProcessorMixin

from training import architecture, loop, precision, processes, whole
from training.data.world import lexicon
from training.data.world.facts import PRICES, held_out
from training.data.world.pictures import SIDE_PIXELS, PictureSpec, Position, Style, draw
from training.origin import Origin
from training.recipe import RUNS, VisionRecipe

PATCH, MERGE = 14, 2
GRID = SIDE_PIXELS // PATCH  # patches a side
TOKENS = (GRID // MERGE) ** 2  # tokens a picture
GREY_SHARE = 0.4  # of the pictures lose their colour, so that a thing is known by its shape
TOKEN_WEIGHT = 0.5  # of telling a facet from each token by itself
WEIGHTS = {"item": 1.0, "colour": 0.5, "count": 0.3, "style": 0.3, "text": 0.3, "beside": 0.3}
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)

_SEES: dict[str, Callable[[PictureSpec], str]] = {
    "item": lambda spec: spec.item,
    "colour": lambda spec: spec.colour,
    "count": lambda spec: str(spec.count),
    "style": lambda spec: spec.style,
    "text": lambda spec: spec.text,
    "beside": lambda spec: spec.beside[0] if spec.beside else "",
}


class Sight(nn.Module):
    """The tower and its throw-away classifiers."""

    def __init__(self, visual: nn.Module, width: int) -> None:
        super().__init__()
        self.visual = visual
        self.heads = nn.ModuleDict(
            {facet: nn.Linear(width, len(values)) for facet, values in seen_values().items()}
        )

    def forward(self, patches: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features, and each facet's logits at every token: (pictures, TOKENS, values).

        Args:
            patches: as `picture_tokens` takes them.
        """
        features = picture_tokens(self.visual, patches)
        return features, {facet: head(features).float() for facet, head in self.heads.items()}


@cache
def seen_values() -> dict[str, list[str]]:
    """What each classifier tells apart; an empty word is none."""
    words = lexicon.load()
    items = sorted(words.items)
    return {
        "item": items,
        "colour": sorted(words.colours),
        "count": ["1", *sorted(words.counts)],
        "style": list(get_args(Style)),
        "text": ["", *map(str, PRICES)],
        "beside": ["", *items],
    }


def picture_tokens(visual: nn.Module, patches: Tensor) -> Tensor:
    """Runs the tower on equally sized pictures, all at once.

    The library's own forward takes pictures of any size, one after the other in each layer: two to
    three times as long. A test holds both to each other.

    Args:
        patches: (pictures, GRID**2, channels * 2 * PATCH**2), as `patchify` makes them.

    Returns:
        (pictures, TOKENS, width).
    """
    tower: Any = visual
    count, size, _ = patches.shape
    # Both frames of a patch are the same still picture.
    still = patches.view(count, size, 3, 2, -1)[:, :, :, 0].flatten(2)
    hidden = nn.functional.linear(still, tower.patch_embed.proj.weight.sum(dim=2).flatten(1))
    places = get_vision_position_ids(torch.tensor([[1, GRID, GRID]]), tower.spatial_merge_size)
    cosines, sines = tower.rotary_pos_emb(hidden[0], places)
    for block in tower.blocks:
        attention = block.attn
        shape = (count, size, 3, attention.num_heads, attention.head_dim)
        queries, keys, values = attention.qkv(block.norm1(hidden)).view(shape).unbind(2)
        queries, keys = apply_rotary_pos_emb_vision(queries, keys, cosines, sines)
        queries, keys, values = (part.transpose(1, 2) for part in (queries, keys, values))
        # Written out: for so few patches the fused kernel's way back takes half of the step.
        near = (queries @ keys.transpose(2, 3) * attention.scaling).softmax(-1)
        looked = near.to(values.dtype) @ values
        hidden = hidden + attention.proj(looked.transpose(1, 2).flatten(2))
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged: Tensor = tower.merger(hidden.flatten(0, 1))
    return merged.view(count, TOKENS, -1)


def patchify(specs: Sequence[PictureSpec]) -> Tensor:
    """Draws pictures and cuts them as Qwen2-VL's preprocessor does: `cut` of their pixels."""
    pixels = np.stack([np.asarray(draw(spec), dtype=np.float32) for spec in specs])
    return cut(((pixels / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2))


def cut(pixels: NDArray[np.float32]) -> Tensor:
    """Cuts pictures into patches.

    Args:
        pixels: (pictures, 3, side, side), normalised.

    Returns:
        (pictures, GRID**2, 3 * 2 * PATCH**2): patches ordered so that the MERGE x MERGE
        neighbours of one token are adjacent, each patch repeated over the two frames.
    """
    count, half = len(pixels), GRID // MERGE
    parts = pixels.reshape(count, 3, half, MERGE, PATCH, half, MERGE, PATCH)
    parts = parts.transpose(
        0, 2, 5, 3, 6, 1, 4, 7
    )  # (n, half, half, MERGE, MERGE, 3, PATCH, PATCH)
    parts = np.repeat(parts[..., None, :, :], 2, axis=-3)
    return torch.from_numpy(np.ascontiguousarray(parts).reshape(count, GRID * GRID, -1))


def train(recipe: VisionRecipe) -> Path:
    """Trains and saves an otherwise untrained base; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: VisionRecipe) -> None:
    folder = RUNS / recipe.name
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    model = architecture.build(recipe.architecture, processor)
    sight = Sight(model.model.visual, recipe.architecture.width)

    def step_of(step: int) -> loop.StepResult:
        specs = _training_specs(recipe, step)
        greys = int(len(specs) * GREY_SHARE)
        with precision.autocast():
            features, logits = sight(_greyed(patchify(specs), greys))
        rms = features.float().pow(2).mean().sqrt()
        by_token = TOKEN_WEIGHT if step >= recipe.pooled_steps else 0.0
        losses = {facet: _loss(facet, logits[facet], specs, greys, by_token) for facet in logits}
        loss = sum((WEIGHTS[facet] * one for facet, one in losses.items()), (rms - 1.0) ** 2)
        right = _right("item", logits["item"], specs)
        return loop.StepResult(loss, len(specs), {"item": right, "rms": rms.item()})

    loop.run(
        folder, sight, recipe.optimiser, step_of, origin=Origin.of(recipe),
        evaluate=lambda: _evaluate(sight), evaluate_steps=max(1, recipe.optimiser.steps // 6),
    )  # fmt: skip
    if processes.rank() == 0:
        _scale_merger(sight, recipe.feature_rms)
        save(model, processor, folder / "model")


def _loss(
    facet: str, logits: Tensor, specs: list[PictureSpec], greys: int, by_token: float
) -> Tensor:
    """Of the mean of a picture's tokens, and of each by itself, which alone learns slowly."""
    target = _target(facet, specs)
    if facet == "colour":  # the first pictures have none
        logits, target = logits[greys:], target[greys:]
    loss = nn.functional.cross_entropy(logits.mean(dim=1), target)
    if by_token:
        every = target.repeat_interleave(logits.shape[1])
        loss = loss + by_token * nn.functional.cross_entropy(logits.flatten(0, 1), every)
    return loss


def _target(facet: str, specs: list[PictureSpec]) -> Tensor:
    values = seen_values()[facet]
    return torch.tensor([values.index(_SEES[facet](spec)) for spec in specs])


def _right(facet: str, logits: Tensor, specs: list[PictureSpec]) -> float:
    """By the mean of a picture's tokens."""
    return (logits.mean(dim=1).argmax(-1) == _target(facet, specs)).float().mean().item()


def _greyed(patches: Tensor, count: int) -> Tensor:
    """Takes the colour out of the first `count` pictures; the shape stays as it is."""
    channels = patches.view(*patches.shape[:2], 3, -1)
    grey = channels[:count].mean(dim=2, keepdim=True).expand_as(channels[:count])
    return torch.cat([grey, channels[count:]]).flatten(2)


def _training_specs(recipe: VisionRecipe, step: int) -> list[PictureSpec]:
    """Single things in the first steps, then looks as dialogues have them."""
    rng = random.Random(f"vision/{recipe.seed}/{step}/{processes.rank()}")
    pairs = training_pairs()
    specs = [drawn_spec(rng, rng.choice(pairs)) for _ in range(recipe.batch_pictures)]
    if step < recipe.single_steps:
        specs = [PictureSpec(spec.item, spec.colour, spec.seed) for spec in specs]
    return specs


def drawn_spec(rng: random.Random, pair: tuple[str, str]) -> PictureSpec:
    """A picture of a thing and its colour; its look is a little more varied than in dialogues."""
    spec = PictureSpec(
        *pair,
        rng.randrange(10**6),
        style=rng.choice(("plain", "plain", "striped", "dotted")),
        text=str(rng.choice(PRICES)) if rng.random() < 0.15 else "",
    )
    kind = rng.random()
    if kind < 0.2:
        return replace(spec, count=rng.choice((2, 3)))
    if kind < 0.35:
        beside = rng.choice(training_pairs())
        return spec if beside[0] == spec.item else replace(spec, beside=beside)
    if kind < 0.55:
        return replace(spec, size="small", position=rng.choice(get_args(Position)))
    return spec


@cache
def training_pairs() -> list[tuple[str, str]]:
    """Thing and colour, less the held-out combinations."""
    return [pair for pair in _every_pair() if not held_out(*pair)]


def _every_pair() -> list[tuple[str, str]]:
    words = lexicon.load()
    return [(item, colour) for item in sorted(words.items) for colour in sorted(words.colours)]


@torch.no_grad()
def _evaluate(sight: Sight) -> dict[str, float]:
    """Accuracy on fresh pictures, of combinations that training shows and of held-out ones."""
    shares = {}
    rare = [pair for pair in _every_pair() if held_out(*pair)]
    for name, pairs in (("seen", training_pairs()), ("held_out", rare)):
        rng = random.Random(f"vision/evaluate/{name}")
        specs = [replace(drawn_spec(rng, rng.choice(pairs)), seed=10**6 + n) for n in range(256)]
        _, logits = sight(patchify(specs))
        for facet in logits if name == "seen" else ("item", "colour"):
            shares[f"{name}_{facet}"] = _right(facet, logits[facet], specs)
    return shares


@torch.no_grad()
def _scale_merger(sight: Sight, rms: float) -> None:
    """Scales the merger's last layer so that picture tokens have the wanted size."""
    rng = random.Random("vision/scale")
    specs = [drawn_spec(rng, rng.choice(training_pairs())) for _ in range(256)]
    features = picture_tokens(sight.visual, patchify(specs))
    last = sight.visual.merger.mlp[-1]
    factor = rms / features.pow(2).mean().sqrt()
    last.weight.mul_(factor)
    last.bias.mul_(factor)


def save(model: Qwen2VLForConditionalGeneration, processor: ProcessorMixin, folder: Path) -> Path:
    """Writes what the next run begins with."""

    def write(into: Path) -> None:
        model.save_pretrained(into)
        processor.save_pretrained(into)

    return whole.write_folder(folder, write)
