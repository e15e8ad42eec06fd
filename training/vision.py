"""Teaches vision tower and merger to see the world's things, then freezes them.

A throw-away classifier reads the mean of a picture's tokens; what stays is a merger whose tokens
carry the thing and its colour, at a size that suits the language model's embeddings.
"""

import random
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration
from transformers.processing_utils import ProcessorMixin

from training import architecture, loop, whole
from training.data.world import lexicon
from training.data.world.facts import held_out
from training.data.world.pictures import SIDE_PIXELS, PictureSpec, draw
from training.origin import Origin
from training.recipe import RUNS, VisionRecipe

PATCH, MERGE = 14, 2
GRID = SIDE_PIXELS // PATCH  # patches a side
TOKENS = (GRID // MERGE) ** 2  # tokens a picture
GREY_SHARE = 0.4  # of the pictures lose their colour, so that a thing is known by its shape
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


class Sight(nn.Module):
    """The tower and its throw-away classifier of things and colours."""

    def __init__(self, visual: nn.Module, width: int, items: int, colours: int) -> None:
        super().__init__()
        self.visual = visual
        self.item_head = nn.Linear(width, items)
        self.colour_head = nn.Linear(width, colours)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Args: patches (pictures, GRID**2, values). Returns features, item and colour logits."""
        features = picture_tokens(self.visual, patches)
        pooled = features.mean(dim=1)
        return features, self.item_head(pooled), self.colour_head(pooled)


def picture_tokens(visual: nn.Module, patches: Tensor) -> Tensor:
    """Runs the tower on equally sized pictures.

    Args:
        patches: (pictures, GRID**2, channels * 2 * PATCH**2), as `patchify` makes them.

    Returns:
        (pictures, TOKENS, width).
    """
    count = len(patches)
    grid = torch.tensor([[1, GRID, GRID]]).expand(count, 3)
    merged = visual(patches.flatten(0, 1), grid_thw=grid).pooler_output
    return merged.view(count, TOKENS, -1)


def patchify(specs: list[PictureSpec]) -> Tensor:
    """Draws pictures and cuts them as Qwen2-VL's preprocessor does.

    Returns:
        (pictures, GRID**2, 3 * 2 * PATCH**2): patches ordered so that the MERGE x MERGE
        neighbours of one token are adjacent, each patch repeated over the two frames.
    """
    pixels = np.stack([np.asarray(draw(spec), dtype=np.float32) for spec in specs])
    pixels = ((pixels / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2)  # (n, 3, side, side)
    count, half = len(specs), GRID // MERGE
    cut = pixels.reshape(count, 3, half, MERGE, PATCH, half, MERGE, PATCH)
    cut = cut.transpose(0, 2, 5, 3, 6, 1, 4, 7)  # (n, half, half, MERGE, MERGE, 3, PATCH, PATCH)
    cut = np.repeat(cut[..., None, :, :], 2, axis=-3)
    return torch.from_numpy(np.ascontiguousarray(cut).reshape(count, GRID * GRID, -1))


def train(recipe: VisionRecipe) -> Path:
    """Trains and saves an otherwise untrained base; returns its folder."""
    folder = RUNS / recipe.name
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    model = architecture.build(recipe.architecture, processor)
    words = lexicon.load()
    items, colours = sorted(words.items), sorted(words.colours)
    sight = Sight(model.model.visual, recipe.architecture.width, len(items), len(colours))

    def step_of(step: int) -> loop.StepResult:
        specs = _training_specs(recipe, step)
        greys = int(len(specs) * GREY_SHARE)
        with torch.autocast("cpu", torch.bfloat16):
            features, item_logits, colour_logits = sight(_greyed(patchify(specs), greys))
        item = torch.tensor([items.index(spec.item) for spec in specs])
        colour = torch.tensor([colours.index(spec.colour) for spec in specs])
        rms = features.float().pow(2).mean().sqrt()
        loss = nn.functional.cross_entropy(item_logits.float(), item)
        shade = nn.functional.cross_entropy(colour_logits[greys:].float(), colour[greys:])
        loss = loss + 0.5 * shade
        loss = loss + (rms - 1.0) ** 2
        right = (item_logits.argmax(-1) == item).float().mean().item()
        return loop.StepResult(loss, len(specs), {"item": right, "rms": rms.item()})

    def evaluate() -> dict[str, float]:
        return _evaluate(sight, items, colours)

    loop.run(
        folder, sight, recipe.optimiser, step_of, origin=Origin.of(recipe), evaluate=evaluate,
        evaluate_steps=max(1, recipe.optimiser.steps // 6),
    )  # fmt: skip
    _scale_merger(sight, recipe.feature_rms)
    return save(model, processor, folder / "model")


def _greyed(patches: Tensor, count: int) -> Tensor:
    """Takes the colour out of the first `count` pictures; the shape stays as it is."""
    channels = patches.view(*patches.shape[:2], 3, -1)
    grey = channels[:count].mean(dim=2, keepdim=True).expand_as(channels[:count])
    return torch.cat([grey, channels[count:]]).flatten(2)


def _training_specs(recipe: VisionRecipe, step: int) -> list[PictureSpec]:
    rng = random.Random(f"vision/{recipe.seed}/{step}")
    pairs = training_pairs()
    return [
        PictureSpec(*rng.choice(pairs), rng.randrange(10**6)) for _ in range(recipe.batch_pictures)
    ]


@cache
def training_pairs() -> list[tuple[str, str]]:
    """Thing and colour, less the held-out combinations."""
    words = lexicon.load()
    return [
        (item, colour)
        for item in sorted(words.items)
        for colour in sorted(words.colours)
        if not held_out(item, colour)
    ]


@torch.no_grad()
def _evaluate(sight: Sight, items: list[str], colours: list[str]) -> dict[str, float]:
    """Accuracy on fresh pictures, half of them of held-out combinations."""
    every = [(item, colour) for item in items for colour in colours]
    rare = [pair for pair in every if held_out(*pair)]
    shares = {}
    for name, pairs in (("seen", training_pairs()), ("held_out", rare)):
        rng = random.Random(f"vision/evaluate/{name}")
        specs = [PictureSpec(*rng.choice(pairs), -1 - rng.randrange(10**6)) for _ in range(256)]
        _, item_logits, colour_logits = sight(patchify(specs))
        item = torch.tensor([items.index(spec.item) for spec in specs])
        colour = torch.tensor([colours.index(spec.colour) for spec in specs])
        shares[f"{name}_item"] = (item_logits.argmax(-1) == item).float().mean().item()
        shares[f"{name}_colour"] = (colour_logits.argmax(-1) == colour).float().mean().item()
    return shares


@torch.no_grad()
def _scale_merger(sight: Sight, rms: float) -> None:
    """Scales the merger's last layer so that picture tokens have the wanted size."""
    rng = random.Random("vision/scale")
    specs = [PictureSpec(*rng.choice(training_pairs()), rng.randrange(10**6)) for _ in range(256)]
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
