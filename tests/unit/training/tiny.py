"""A base of the starter's form that has learnt nothing, with what makes its rows."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from tests import starter
from training import architecture
from training.data.encode import Encoder
from training.data.rows import Rows
from training.reading import Reader
from training.recipe import Architecture
from training.vision import GRID, MERGE

BASE = starter.folder_of("base")
SHAPE = Architecture(
    width=48, mlp_width=64, layers=8, heads=6, key_value_heads=6, vision_width=64,
    vision_layers=1, vision_heads=2, rope_theta=1e8, embedding_std=0.3,
)  # fmt: skip


@cache
def processor() -> Any:
    return AutoProcessor.from_pretrained(BASE)


def model() -> Qwen2VLForConditionalGeneration:
    torch.manual_seed(3)
    return architecture.build(SHAPE, processor())


def rows() -> Rows:
    return Rows(encoder(), processor().tokenizer)


def encoder() -> Encoder:
    return Encoder(processor().tokenizer, GRID // MERGE)


def pad_id() -> int:
    return int(processor().tokenizer.pad_token_id)


def reader() -> Reader:
    return Reader(model(), encoder().image_id)


def leave_runs(folder: Path) -> None:
    """Leaves in `folder` what the smoke chain's first stages would have: a base untaught."""
    runs, base = folder / "training" / "runs", folder / "base"
    model().save_pretrained(base)
    processor().save_pretrained(base)
    for earlier in ("smoke-tokenizer", "smoke-base"):
        (runs / earlier).mkdir(parents=True)
        (runs / earlier / "model").symlink_to(base.resolve())
