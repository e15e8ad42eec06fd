"""A random Qwen2-VL of a few thousand parameters, and adapters for it: real files, no meaning.

python -m tests.tiny_model FOLDER
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2VLForConditionalGeneration

from colloquy.protocols import f2rvlm
from colloquy.registry.manifest import Base, Manifest, Probe
from training.architecture import build
from training.recipe import Architecture
from training.tokenizer import PIECES, SPECIAL, TAGS, save_processor

SHAPE = Architecture(
    width=64,
    mlp_width=96,
    layers=2,
    heads=2,
    key_value_heads=2,
    vision_width=32,
    vision_layers=1,
    vision_heads=2,
    max_tokens=4096,
    # Far apart, so that rounding to bfloat16 does not decide which token is greedy.
    embedding_std=0.5,
)
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK = 8
Tensors = dict[str, torch.Tensor]


def write_base(registry: Path, *, version: str = "1", seed: int = 7) -> Path:
    """Writes `registry/base/<version>` and returns its folder."""
    folder = registry / "base" / version
    folder.mkdir(parents=True)
    save_processor(_tokenizer(), folder, SHAPE.max_tokens)
    torch.manual_seed(seed)
    build(SHAPE, _processor(folder)).to(torch.bfloat16).save_pretrained(folder)
    write_manifest(folder, task="base", version=version, kind="base")
    return folder


def write_adapter(
    base: Path,
    registry: Path,
    *,
    task: str = "fragment",
    version: str = "1",
    seed: int = 0,
    rank: int = RANK,
    spoil: Callable[[Tensors], Tensors] = lambda tensors: tensors,
    probes: list[Probe] | None = None,
) -> Path:
    """Writes `registry/<task>/<version>`: random factors, both of them, changed by `spoil`."""
    folder = registry / task / version
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration.from_pretrained(base)
    layers = "|".join(TARGETS)
    config = LoraConfig(
        r=rank,
        lora_alpha=4 * rank,
        target_modules=rf".*language_model.*\.({layers})",
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, config)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    tuned.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config_file = folder / "adapter_config.json"
    written = json.loads(config_file.read_text()) | {"target_modules": TARGETS}
    config_file.write_text(json.dumps(written))
    weights = folder / "adapter_model.safetensors"
    save_file(spoil(load_file(weights)), weights)
    weights_of_base = json.loads((base / "manifest.json").read_text())["files"]["model.safetensors"]
    write_manifest(
        folder,
        task=task,
        version=version,
        kind="adapter",
        protocol="f2rvlm",
        weights="adapter_model.safetensors",
        base=Base(version=base.name, sha256=weights_of_base),
        probes=probes or [],
    )
    return folder


def write_manifest(folder: Path, **fields: Any) -> None:
    """Writes the manifest of what is in `folder` now."""
    Manifest(files=hashes(folder), created=datetime(2026, 1, 1, tzinfo=UTC), **fields).write(folder)


def hashes(folder: Path) -> Mapping[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    prompts = (f2rvlm.render_fragment([], ""), f2rvlm.render_split([]))
    words = [prompt.system + prompt.user for prompt in prompts] * 50
    words += [str(number) for number in range(200)] * 50 + [", ", "Yes", "No"] * 500
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    return tokenizer


def _processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = write_base(place)
    write_adapter(made, place, task="fragment", seed=1)
    write_adapter(made, place, task="split", seed=2)
