import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colloquy.registry.adapters import check_adapter
from colloquy.registry.store import CheckpointBroken, Registry
from tests.unit.registry.checkpoints import (
    RANK,
    WIDTH,
    Arrays,
    adapter_tensors,
    save,
    write_adapter,
    write_base,
)

FIRST = "base_model.model.model.language_model.layers.0.self_attn.q_proj"


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    write_base(tmp_path)
    return tmp_path


def check(registry: Path, *, max_rank: int = 8, with_base: bool = True) -> None:
    store = Registry([registry])
    base = store.resolve("base@1") if with_base else None
    check_adapter(store.resolve("fragment@1"), base, max_rank=max_rank)


def renamed(tensors: Arrays, old: str, new: str) -> Arrays:
    return {name.replace(old, new): array for name, array in tensors.items()}


def test_a_sound_adapter_passes(registry: Path) -> None:
    write_adapter(registry)
    check(registry)


@pytest.mark.parametrize("prefix", ["model.layers", "model.language_model.layers"])
def test_every_common_naming_of_the_layers_passes(registry: Path, prefix: str) -> None:
    tensors = renamed(adapter_tensors(), "model.language_model.layers", prefix)
    write_adapter(registry, tensors=tensors)
    check(registry)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("q_proj", "query_proj", "no module"),
        ("layers.1", "layers.7", "no module"),
        ("lora_A", "lora_down", "not the name"),
        ("base_model.model.", "", "not the name"),
        ("language_model.layers", "visual.blocks", "vision tower"),
        ("language_model.layers", "other", "in no layer"),
        (".lora_B.weight", ".lora_B.default.weight", "not the name"),
    ],
)
def test_tensors_that_fit_no_module_are_refused(
    registry: Path, old: str, new: str, why: str
) -> None:
    write_adapter(registry, tensors=renamed(adapter_tensors(), old, new))

    with pytest.raises(CheckpointBroken, match=why):
        check(registry)


@pytest.mark.parametrize(
    ("side", "shape", "why"),
    [
        ("A", (RANK, WIDTH + 1), "the base's weight"),
        ("B", (WIDTH - 1, RANK), "the base's weight"),
        ("A", (RANK + 1, WIDTH), "not of rank"),
        ("B", (WIDTH, RANK, 1), "not of rank"),
    ],
)
def test_wrong_shapes_are_refused(
    registry: Path, side: str, shape: tuple[int, ...], why: str
) -> None:
    wrong = {f"{FIRST}.lora_{side}.weight": np.ones(shape, np.float32)}
    write_adapter(registry, tensors=adapter_tensors() | wrong)

    with pytest.raises(CheckpointBroken, match=why):
        check(registry)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_one_number_that_is_not_finite_is_refused(registry: Path, value: float, kind: Any) -> None:
    tensors = {name: array.astype(kind) for name, array in adapter_tensors().items()}
    tensors[f"{FIRST}.lora_B.weight"][3, 1] = value
    write_adapter(registry, tensors=tensors)

    with pytest.raises(CheckpointBroken, match="NaN or infinity"):
        check(registry)


@pytest.mark.parametrize(
    ("bits", "finite"),
    [(0x7FC0, False), (0xFF80, False), (0x7F80, False), (0x7F7F, True), (0x3F80, True)],
    ids=["nan", "-inf", "inf", "largest", "one"],
)
def test_bfloat16_is_read_by_its_bits(registry: Path, bits: int, finite: bool) -> None:
    tensors = {
        name: np.full(array.shape, 0x3F00, np.uint16) for name, array in adapter_tensors().items()
    }
    tensors[f"{FIRST}.lora_B.weight"][3, 1] = bits
    write_adapter(registry, tensors=tensors)

    if finite:
        check(registry)
    else:
        with pytest.raises(CheckpointBroken, match="NaN or infinity"):
            check(registry)


def test_whole_numbers_are_refused(registry: Path) -> None:
    whole = {f"{FIRST}.lora_A.weight": np.ones((RANK, WIDTH), np.int64)}
    write_adapter(registry, tensors=adapter_tensors() | whole)

    with pytest.raises(CheckpointBroken, match="floating-point"):
        check(registry)


def test_a_factor_alone_is_refused(registry: Path) -> None:
    tensors = adapter_tensors()
    del tensors[f"{FIRST}.lora_B.weight"]
    write_adapter(registry, tensors=tensors)

    with pytest.raises(CheckpointBroken, match="one of its two factors"):
        check(registry)


def test_a_target_without_tensors_is_refused(registry: Path) -> None:
    tensors = {name: array for name, array in adapter_tensors().items() if "up_proj" not in name}
    write_adapter(registry, tensors=tensors)

    with pytest.raises(CheckpointBroken, match="up_proj"):
        check(registry)


def test_an_empty_adapter_is_refused(registry: Path) -> None:
    write_adapter(registry, tensors={})

    with pytest.raises(CheckpointBroken, match="no tensors"):
        check(registry)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"r": 16}, "has rank 16"),
        ({"r": 0}, "has rank 0"),
        ({"r": "4"}, "has rank 4"),
        ({"peft_type": "IA3"}, "not a LoRA"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
        ({"bias": "all"}, "biases"),
        ({"lora_alpha": None}, "lora_alpha"),
    ],
)
def test_what_the_engine_would_misread_is_refused(
    registry: Path, config: dict[str, Any], why: str
) -> None:
    write_adapter(registry, config=config)

    with pytest.raises(CheckpointBroken, match=why):
        check(registry)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-3],
        lambda data: data + b"\0",
        lambda data: data[:4],
        lambda data: struct.pack("<Q", 1 << 60) + data[8:],
        lambda data: struct.pack("<Q", 3) + b"[1]" + data[8:],
        lambda data: b"",
    ],
    ids=["cut", "longer", "no header", "huge header", "not a mapping", "empty"],
)
def test_a_damaged_file_is_refused_and_crashes_nothing(registry: Path, spoil: Any) -> None:
    weights = write_adapter(registry) / "adapter_model.safetensors"
    weights.write_bytes(spoil(weights.read_bytes()))

    with pytest.raises(CheckpointBroken):
        check(registry)


def test_an_adapter_of_other_weights_is_refused(registry: Path) -> None:
    write_adapter(registry)
    manifest = registry / "base" / "1" / "manifest.json"
    text = manifest.read_text()
    digest = text.split('"model.safetensors": "')[1][:64]
    manifest.write_text(text.replace(digest, "0" * 64))

    with pytest.raises(CheckpointBroken, match="other weights"):
        check(registry)


def test_without_the_base_at_hand_the_rest_is_still_checked(registry: Path) -> None:
    tensors = adapter_tensors()
    tensors[f"{FIRST}.lora_B.weight"][0, 0] = np.nan
    write_adapter(registry, tensors=tensors)

    with pytest.raises(CheckpointBroken, match="NaN"):
        check(registry, with_base=False)


@pytest.mark.parametrize("dtype", [["F32"], {"F32": 1}, None, 7, "F99"])
def test_a_type_that_is_none_is_named(registry: Path, dtype: Any) -> None:
    folder = write_adapter(registry)
    tensors = adapter_tensors()
    odd = {next(iter(tensors)): dtype}
    save(folder / "adapter_model.safetensors", tensors, odd)
    with pytest.raises(CheckpointBroken, match="not a whole tensor"):
        check(registry)
