"""Tiny open_clip models with random weights, on disk as a checkpoint has them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.unit.registry.checkpoints import write_manifest

DIMENSIONS = 24
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "interpolation": "bicubic"}


def write_clip(folder: Path, *, seed: int = 0, custom: bool = False, **text: Any) -> Path:
    """A model with open_clip's own tokenizer.

    Args:
        custom: its text tower is a part of its own.
        text: overrides the text tower's settings.
    """
    config: dict[str, Any] = {
        "custom_text": custom,
        "embed_dim": DIMENSIONS,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16,
                       "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2,
                     "layers": 2} | text,
    }  # fmt: skip
    folder.mkdir(parents=True)
    written = {"model_cfg": config, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():  # at their usual scale random towers say nearly the same of everything
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def write_checkpoint(registry: Path, *, version: str = "1", seed: int = 0) -> Path:
    folder = write_clip(registry / "clip" / version, seed=seed)
    write_manifest(
        folder, task="clip", version=version, kind="weights", weights="open_clip_model.safetensors"
    )
    return folder


class Reference:
    """open_clip as its own documentation uses it: one item at a time, the whole context."""

    def __init__(self, folder: Path) -> None:
        source = f"local-dir:{folder}"
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(source)
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(source)

    def text(self, text: str) -> "np.ndarray[Any, Any]":
        with torch.no_grad():
            return self.model.encode_text(self.tokenizer([text]), normalize=True)[0].numpy()

    def picture(self, picture: Image.Image) -> "np.ndarray[Any, Any]":
        with torch.no_grad():
            batch = self.preprocess(picture.convert("RGB")).unsqueeze(0)
            return self.model.encode_image(batch, normalize=True)[0].numpy()
