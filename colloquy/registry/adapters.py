"""What must hold of a LoRA adapter before an engine sees it.

vLLM loads an adapter whose tensors fit no module and then answers as the base; with wrong shapes it
answers wrong; with a NaN it poisons every request of the process. Nothing of it is reported.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from colloquy.registry.store import Checkpoint, CheckpointBroken
from colloquy.registry.tensors import NotSafetensors, Tensor, is_finite, read_tensors

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_LAYER = re.compile(r"(?:^|\.)(layers\.\d+\..+)$")
_VISION = re.compile(r"(?:^|\.)(?:visual|vision\w*)\.")
# Each changes what the adapter computes, and vLLM reads none of them.
_UNSERVED = (
    "use_dora", "use_qalora", "use_bdlora", "modules_to_save", "rank_pattern", "alpha_pattern",
    "fan_in_fan_out", "lora_bias", "layer_replication", "trainable_token_indices",
    "target_parameters", "arrow_config", "kasa_config", "alora_invocation_tokens",
)  # fmt: skip


@dataclass(slots=True)
class _Pair:
    a: Tensor | None = None
    b: Tensor | None = None


def check_adapter(adapter: Checkpoint, base: Checkpoint | None, *, max_rank: int) -> None:
    """Checks an adapter's configuration, tensor names, shapes and numbers against its base.

    Args:
        base: None when its weights are not at hand (a hub model, somebody else's engine); then
            modules and shapes are checked only among themselves.
        max_rank: of the engine.

    Raises:
        CheckpointBroken: one line that names the place.
    """
    if adapter.manifest.kind != "adapter":
        raise CheckpointBroken(f"{adapter.name}: is not an adapter")
    if adapter.manifest.weights != ADAPTER_WEIGHTS:
        raise CheckpointBroken(f"{adapter.name}: an adapter's weights are `{ADAPTER_WEIGHTS}`")
    if base is not None:
        _check_base(adapter, base)
    rank, targets = _check_config(adapter, max_rank)
    try:
        pairs = _pairs(adapter, read_tensors(adapter.weights))
        modules = None if base is None else _modules(base)
        for module, pair in pairs.items():
            _check_pair(adapter, module, pair, rank, modules)
        _check_targets(adapter, targets, list(pairs))
        for tensor in _tensors(pairs):
            if not is_finite(tensor):
                raise CheckpointBroken(f"{adapter.name}: `{tensor.name}` has NaN or infinity")
    except NotSafetensors as error:
        raise CheckpointBroken(f"{adapter.name}: `{ADAPTER_WEIGHTS}`: {error}") from error


def _check_base(adapter: Checkpoint, base: Checkpoint) -> None:
    belongs = adapter.manifest.base
    if belongs is None:
        raise CheckpointBroken(f"{adapter.name}: the manifest does not name its base")
    weights_hash = base.manifest.files.get(base.manifest.weights)
    if (belongs.task, belongs.version) != (base.manifest.task, base.manifest.version):
        raise CheckpointBroken(
            f"{adapter.name}: belongs to `{belongs.task}@{belongs.version}`, not to `{base.name}`"
        )
    if belongs.sha256 != weights_hash:
        raise CheckpointBroken(f"{adapter.name}: belongs to other weights of `{base.name}`")


def _check_config(adapter: Checkpoint, max_rank: int) -> tuple[int, list[str] | str]:
    try:
        config: Any = json.loads((adapter.folder / ADAPTER_CONFIG).read_bytes())
        rank, targets = config["r"], config["target_modules"]
        scale = config["lora_alpha"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointBroken(f"{adapter.name}: `{ADAPTER_CONFIG}` does not hold") from error
    if config.get("peft_type") != "LORA":
        raise CheckpointBroken(f"{adapter.name}: is not a LoRA adapter")
    if not isinstance(rank, int) or not 0 < rank <= max_rank:
        raise CheckpointBroken(
            f"{adapter.name}: has rank {rank}, and the engine takes up to {max_rank}"
        )
    if not isinstance(scale, int | float) or isinstance(scale, bool):
        raise CheckpointBroken(f"{adapter.name}: `lora_alpha` is not a number")
    for feature in _UNSERVED:
        if config.get(feature):
            raise CheckpointBroken(f"{adapter.name}: uses `{feature}`, which no engine serves")
    if config.get("bias", "none") != "none":
        raise CheckpointBroken(f"{adapter.name}: trains biases, which no engine serves")
    return rank, targets


def _pairs(adapter: Checkpoint, tensors: Mapping[str, Tensor]) -> dict[str, _Pair]:
    """The two factors of each module, by the module's place in the language model."""
    pairs: dict[str, _Pair] = {}
    for name, tensor in tensors.items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            raise CheckpointBroken(f"{adapter.name}: `{name}` is not the name of a LoRA tensor")
        if _VISION.search(match["module"]):
            raise CheckpointBroken(
                f"{adapter.name}: `{name}` adapts the vision tower, which the engine ignores"
            )
        place = _place(match["module"])
        if place is None:
            raise CheckpointBroken(f"{adapter.name}: `{name}` is in no layer of the base")
        pair = pairs.setdefault(place, _Pair())
        if match["side"] == "A":
            pair.a = tensor
        else:
            pair.b = tensor
    if not pairs:
        raise CheckpointBroken(f"{adapter.name}: holds no tensors")
    return pairs


def _place(module: str) -> str | None:
    """`layers.0.self_attn.q_proj`: the part of a name that every naming of the model shares."""
    match = _LAYER.search(module)
    return match[1] if match else None


def _modules(base: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Shapes of the base's linear weights in the language model, by their place."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(base.folder.glob("*.safetensors")):
        for name, tensor in read_tensors(file).items():
            place = _place(name.removesuffix(".weight"))
            linear = name.endswith(".weight") and len(tensor.shape) == 2
            if place is not None and linear and not _VISION.search(name):
                shapes[place] = tensor.shape
    return shapes


def _check_pair(
    adapter: Checkpoint,
    module: str,
    pair: _Pair,
    rank: int,
    modules: Mapping[str, tuple[int, ...]] | None,
) -> None:
    if pair.a is None or pair.b is None:
        raise CheckpointBroken(f"{adapter.name}: `{module}` has one of its two factors only")
    a, b = pair.a.shape, pair.b.shape
    if len(a) != 2 or len(b) != 2 or a[0] != rank or b[1] != rank:
        raise CheckpointBroken(
            f"{adapter.name}: `{module}` has factors {list(a)} and {list(b)}, not of rank {rank}"
        )
    if modules is None:
        return
    if module not in modules:
        raise CheckpointBroken(f"{adapter.name}: the base has no module `{module}`")
    if (b[0], a[1]) != modules[module]:
        raise CheckpointBroken(
            f"{adapter.name}: `{module}` adapts {[b[0], a[1]]}, but the base's weight is "
            f"{list(modules[module])}"
        )


def _check_targets(adapter: Checkpoint, targets: Any, modules: list[str]) -> None:
    """A target that no tensor adapts means that tensors were lost or renamed."""
    if not isinstance(targets, list):
        return  # a pattern or `all-linear`: nothing to compare with
    for target in targets:
        # A target may be a path into the tree; its last name is what layers are called.
        last = str(target).rpartition(".")[2]
        if not any(module.rpartition(".")[2] == last for module in modules):
            raise CheckpointBroken(f"{adapter.name}: no tensor adapts the target `{target}`")


def _tensors(pairs: Mapping[str, _Pair]) -> Iterator[Tensor]:
    for pair in pairs.values():
        yield from (tensor for tensor in (pair.a, pair.b) if tensor is not None)
