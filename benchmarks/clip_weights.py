"""One set of random weights of ViT-B/32's shape, in open_clip's form and in transformers'.

    python -m benchmarks.clip_weights FOLDER    # writes FOLDER/open_clip and FOLDER/transformers

Random weights cost the same time as trained ones, and nothing has to be downloaded.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import bytes_to_unicode, default_bpe
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

MODEL = "ViT-B-32"
SEED = 20261121
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
_MERGES = 49_152 - 256 - 2


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.manual_seed(SEED)
    model = open_clip.create_model(MODEL)
    write_open_clip(model, folder / "open_clip")
    write_transformers(model, folder / "transformers")


def write_open_clip(model: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    config = {
        "model_cfg": open_clip.get_model_config(MODEL),
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2))
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    weights.pop("attn_mask", None)
    save_file(weights, folder / "open_clip_model.safetensors")


def write_transformers(model: Any, folder: Path) -> None:
    settings = open_clip.get_model_config(MODEL)
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    config = CLIPConfig(
        projection_dim=settings["embed_dim"],
        vision_config={
            "hidden_size": vision["width"],
            "intermediate_size": vision["width"] * 4,
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // 64,
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_act": "gelu",
        },
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": text["width"] * 4,
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "vocab_size": text["vocab_size"],
            "max_position_embeddings": text["context_length"],
            "hidden_act": "gelu",
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
        },
    )
    copy = CLIPModel(config)
    missing = copy.load_state_dict(_renamed(model.state_dict()), strict=False)
    left = [name for name in missing.missing_keys if "position_ids" not in name]
    if left or missing.unexpected_keys:
        raise ValueError(f"weights without a place: {left} {missing.unexpected_keys}")
    copy.save_pretrained(folder)
    _write_tokenizer(folder)
    _write_preprocessor(folder, vision["image_size"])


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's names as transformers has them; its joint projections are three there."""
    renamed: dict[str, Tensor] = {
        "logit_scale": weights["logit_scale"],
        "text_model.embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": weights["positional_embedding"],
        "text_projection.weight": weights["text_projection"].T.contiguous(),
        "vision_model.embeddings.class_embedding": weights["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": weights["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": weights["visual.positional_embedding"],
        "visual_projection.weight": weights["visual.proj"].T.contiguous(),
    }
    norms = {
        "ln_final": "text_model.final_layer_norm",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
    }
    for ours, theirs in norms.items():
        for kind in ("weight", "bias"):
            renamed[f"{theirs}.{kind}"] = weights[f"{ours}.{kind}"]
    for ours, theirs in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
        renamed |= _blocks(weights, f"{ours}.resblocks.", f"{theirs}.encoder.layers.")
    return renamed


def _blocks(weights: dict[str, Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    parts = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    renamed = {}
    for name, value in weights.items():
        if not name.startswith(ours):
            continue
        number, _, part = name.removeprefix(ours).partition(".")
        if part.startswith("attn.in_proj_"):
            kind = part.removeprefix("attn.in_proj_")
            for which, piece in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{theirs}{number}.self_attn.{which}_proj.{kind}"] = piece.contiguous()
        else:
            stem, _, kind = part.rpartition(".")
            renamed[f"{theirs}{number}.{parts[stem]}.{kind}"] = value
    return renamed


def _write_tokenizer(folder: Path) -> None:
    """CLIP's byte-pair merges, which open_clip carries, in transformers' files."""
    with gzip.open(default_bpe()) as file:
        lines = file.read().decode().split("\n")
    merges = lines[1 : _MERGES + 1]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["".join(merge.split()) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merged = "\n".join(["#version: 0.2", *merges]) + "\n"
    (folder / "merges.txt").write_text(merged, encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 77,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


def _write_preprocessor(folder: Path, side: int) -> None:
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "do_convert_rgb": True,
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2))


if __name__ == "__main__":
    main()
