"""Small checkpoints on disk, written without torch."""

import hashlib
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from colloquy.registry.manifest import Base, Manifest

WIDTH, WIDE, RANK = 8, 12, 4
MODULES = {"self_attn.q_proj": (WIDTH, WIDTH), "mlp.up_proj": (WIDE, WIDTH)}
Arrays = dict[str, "np.ndarray[Any, Any]"]

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def save(path: Path, tensors: Arrays, dtypes: Mapping[str, str] | None = None) -> None:
    """Writes safetensors; an array of uint16 is bfloat16."""
    names = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64"}
    header, data = {}, b""
    for name, array in tensors.items():
        raw = array.tobytes()
        header[name] = {
            "dtype": (dtypes or {}).get(name, names[array.dtype.name]),
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def base_tensors(layers: int = 2) -> Arrays:
    tensors: Arrays = {"model.embed_tokens.weight": np.ones((20, WIDTH), np.float32)}
    for layer in range(layers):
        for module, shape in MODULES.items():
            tensors[f"model.layers.{layer}.{module}.weight"] = np.ones(shape, np.float32)
    tensors["visual.blocks.0.attn.qkv.weight"] = np.ones((4, 4), np.float32)
    return tensors


def adapter_tensors(layers: int = 2, rank: int = RANK) -> Arrays:
    tensors: Arrays = {}
    for layer in range(layers):
        for module, (out, into) in MODULES.items():
            name = f"base_model.model.model.language_model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = np.full((rank, into), 0.5, np.float32)
            tensors[f"{name}.lora_B.weight"] = np.full((out, rank), 0.5, np.float32)
    return tensors


def write_base(registry: Path, *, version: str = "1") -> Path:
    folder = registry / "base" / version
    folder.mkdir(parents=True)
    save(folder / "model.safetensors", base_tensors())
    (folder / "config.json").write_text("{}")
    write_manifest(folder, task="base", version=version, kind="base")
    return folder


def write_adapter(
    registry: Path,
    *,
    task: str = "fragment",
    version: str = "1",
    tensors: Arrays | None = None,
    config: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """Writes a sound adapter of `base@1`, or what the arguments make of it."""
    folder = registry / task / version
    folder.mkdir(parents=True)
    save(folder / "adapter_model.safetensors", adapter_tensors() if tensors is None else tensors)
    written = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "up_proj"],
    } | dict(config or {})
    (folder / "adapter_config.json").write_text(json.dumps(written))
    base = registry / "base" / "1" / "model.safetensors"
    belongs = Base(version="1", sha256=_sha256(base)) if base.exists() else None
    write_manifest(
        folder,
        **{
            "task": task,
            "version": version,
            "kind": "adapter",
            "protocol": "f2rvlm",
            "weights": "adapter_model.safetensors",
            "base": belongs,
        }
        | fields,
    )
    return folder


def write_manifest(folder: Path, **fields: Any) -> None:
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    Manifest(**({"files": files, "created": CREATED} | fields)).write(folder)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
