"""The models that engines serve, and the adapters that tasks bind to them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from colloquy.local.checks.finding import Finding, failed, ok, warning
from colloquy.local.engine_command import CannotStart, model_of
from colloquy.profile import OpenAIEngine, Profile, Task, VllmEngine
from colloquy.registry.adapters import check_adapter
from colloquy.registry.manifest import MANIFEST
from colloquy.registry.store import Checkpoint, CheckpointBroken, CheckpointMissing, Registry

_COMMIT = re.compile(r"[0-9a-f]{40}")
_GB = 1e9


def our_engines(profile: Profile) -> dict[str, VllmEngine]:
    """Those that the supervisor starts."""
    return {
        name: engine
        for name, engine in profile.engines.items()
        if isinstance(engine, VllmEngine) and engine.url is None
    }


def check_engines(profile: Profile) -> Iterator[Finding]:
    for name, engine in profile.engines.items():
        about = f"engine {name}"
        if isinstance(engine, OpenAIEngine) or engine.url is not None:
            yield ok(about, f"`{engine.model}` at {engine.url}, which is not ours to start")
            continue
        try:
            model = model_of(profile, name, engine)
        except CannotStart as refusal:
            yield failed(about, str(refusal))
            continue
        yield (
            _check_folder(profile, about, model)
            if isinstance(model, Path)
            else _check_hub(about, engine, model)
        )


def check_tasks(profile: Profile) -> Iterator[Finding]:
    """Each task's adapter is there, whole, and fits its engine."""
    registry = Registry(profile.registry_dirs)
    for name, task in profile.tasks.items():
        about = f"task {name}"
        engine = profile.engines[task.engine]
        if task.checkpoint is None:
            yield ok(about, f"engine {task.engine}'s own model, `{engine.model}`")
            continue
        try:
            checkpoint = registry.resolve(task.checkpoint)
            registry.verify(checkpoint)
            if isinstance(engine, VllmEngine):
                base = _base_of(registry, engine)
                check_adapter(checkpoint, base, max_rank=engine.max_lora_rank)
        except (CheckpointMissing, CheckpointBroken) as error:
            yield failed(about, f"tasks/{name}/checkpoint: {error}")
            continue
        yield _check_protocol(about, name, task, checkpoint)


def weights_bytes(profile: Profile, name: str, engine: VllmEngine) -> int | None:
    """Size of a model's weights; None where they are not on this machine yet."""
    try:
        model = model_of(profile, name, engine)
    except CannotStart:
        return None
    folder = model if isinstance(model, Path) else hub_folder(model, engine.revision)
    if folder is None:
        return None
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def hub_folder(model: str, revision: str | None) -> Path | None:
    """Where a hub model lies once it has been downloaded."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = cache / f"models--{model.replace('/', '--')}" / "snapshots"
    found = [snapshots / revision] if revision else sorted(snapshots.glob("*"))
    return next((folder for folder in found if (folder / "config.json").exists()), None)


def _check_folder(profile: Profile, about: str, folder: Path) -> Finding:
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        return failed(about, f"{folder} has no weights in safetensors")
    size_gb = sum(file.stat().st_size for file in weights) / _GB
    if not (folder / MANIFEST).exists():
        return ok(about, f"{folder}, {size_gb:.2f} GB of weights, without a manifest")
    registry = Registry(profile.registry_dirs)
    try:
        checkpoint = registry.resolve(f"{folder.parent.name}@{folder.name}")
        registry.verify(checkpoint)
    except (CheckpointMissing, CheckpointBroken) as error:
        return failed(about, str(error))
    return ok(about, f"{checkpoint.name}, {size_gb:.2f} GB of weights, every hash as it should be")


def _check_hub(about: str, engine: VllmEngine, model: str) -> Finding:
    if engine.revision is None or not _COMMIT.fullmatch(engine.revision):
        return warning(about, f"{model}: `revision` names no commit, so its weights may change")
    if hub_folder(model, engine.revision) is None:
        return warning(about, f"{model}: not on this machine; the first start downloads it")
    return ok(about, f"{model} at {engine.revision[:12]}")


def _base_of(registry: Registry, engine: VllmEngine) -> Checkpoint | None:
    """None where the engine's model is no checkpoint: then an adapter is checked by itself."""
    return registry.resolve(engine.model) if "@" in engine.model else None


def _check_protocol(about: str, name: str, task: Task, checkpoint: Checkpoint) -> Finding:
    manifest = checkpoint.manifest
    if manifest.protocol not in (None, task.protocol):
        where = f"tasks/{name}/protocol"
        return failed(about, f"{where}: {checkpoint.name} speaks `{manifest.protocol}`")
    probes = f"{len(manifest.all_probes)} probes"
    if not manifest.all_probes:
        return warning(about, f"{checkpoint.name}: whole, but without probes to prove it loaded")
    return ok(about, f"{checkpoint.name}: whole, fits its base, {probes}")
