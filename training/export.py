"""Publishes finished runs as checkpoints: weights in bf16, manifest, model card.

python -m training.export --version 1 --out starter
"""

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from colloquy.contracts.content import Dialogue
from colloquy.registry.manifest import Base, Manifest, Probe, Reference
from training import adapters, card, generate, samples
from training.data import prompts, public
from training.data.world import splits
from training.data.world.dialogues import WorldDialogue
from training.recipe import RUNS, file_hash

BASE_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "processor_config.json",
)  # fmt: skip
RECIPES = Path("training/recipes")
MAX_FILE_BYTES = 16_000_000


class FileTooLarge(Exception):
    """A published file would be over the limit of the repository."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published.

    Attributes:
        runs: name of the run of `base`, `fragment` and `split`.
        queries: held-out prompts that the metrics are measured on, for each task.
    """

    version: str
    out: Path
    runs: dict[str, str]
    queries: int
    with_samples: bool = True


def export(plan: Plan) -> None:
    """Writes `out/<task>/<version>/` for the base and each adapter, and the sample dialogues."""
    base_folder = _export_base(plan)
    processor = AutoProcessor.from_pretrained(base_folder)
    base_hash = file_hash(base_folder / "model.safetensors")
    for task in ("fragment", "split"):
        folder = _fresh(plan, task)
        _export_adapter_files(RUNS / plan.runs[task] / "model", folder, plan.version)
        model = _with_adapter(base_folder, folder)
        metrics = adapters.evaluate(model, processor, task, "test", plan.queries)
        metrics = {name: round(value, 4) for name, value in metrics.items()}
        print(json.dumps({"task": task, "test": metrics}), flush=True)
        card.write(folder, task, plan.version, metrics)
        _write_manifest(
            folder,
            task=task,
            version=plan.version,
            kind="adapter",
            protocol="f2rvlm",
            base=Base(version=plan.version, sha256=base_hash),
            weights="adapter_model.safetensors",
            metrics=metrics,
            probes=[_probe(model, processor, task)],
        )
        if task == "fragment" and plan.with_samples:
            samples.write(plan.out / "samples" / "dialogues.json", model, processor)


def _export_base(plan: Plan) -> Path:
    folder = _fresh(plan, "base")
    source = RUNS / plan.runs["base"] / "model"
    for name in BASE_FILES:
        shutil.copyfile(source / name, folder / name)
    _save_bf16(source / "model.safetensors", folder / "model.safetensors")
    card.write(folder, "base", plan.version, {})
    _write_manifest(
        folder, task="base", version=plan.version, kind="base", protocol=None, base=None,
        weights="model.safetensors", metrics={}, probes=[],
    )  # fmt: skip
    return folder


def _export_adapter_files(source: Path, folder: Path, version: str) -> None:
    settings = json.loads((source / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = f"base@{version}"
    settings["inference_mode"] = True
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "adapter_config.json").write_text(text)
    _save_bf16(source / "adapter_model.safetensors", folder / "adapter_model.safetensors")


def _with_adapter(base_folder: Path, folder: Path) -> Any:
    """The published weights as they are served: bf16, adapter unmerged."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(base_folder, dtype=torch.bfloat16)
    served = PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False)
    return served.eval()


def _probe(model: Any, processor: Any, task: str) -> Probe:
    """A short held-out question that the model answers rightly, so a broken load is noticed."""
    for number in range(splits.DIALOGUES["validation"]):
        entry = splits.sample("validation", number)
        if len(entry.dialogue.turns) > 16:
            continue
        query = entry.queries[0]
        example = (
            prompts.split_example(entry.dialogue)
            if task == "split"
            else prompts.fragment_example(entry.dialogue, query)
        )
        if task == "fragment" and not query.image_ids:
            continue
        answer = generate.answers(model, processor, [example])[0]
        if answer == example.answer:
            break
    # The last one tried, should none be right: it still tells these weights from others.
    return Probe(
        query=query.text if task == "fragment" else None,
        dialogue=public_form(entry.dialogue),
        expected=answer,
    )


def public_form(dialogue: WorldDialogue) -> Dialogue:
    """A dialogue in the public API's form, pictures as PNG data URLs."""
    return Dialogue(utterances=public.utterances(dialogue))


def _write_manifest(folder: Path, **fields: Any) -> None:
    files = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
    for path in folder.iterdir():
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileTooLarge(f"{path.name} has {path.stat().st_size} bytes")
    recipe = RECIPES / f"{fields['task']}.yaml"
    hashes = splits.HASHES.read_text(encoding="utf-8")
    data = hashlib.sha256(hashes.encode()).hexdigest()
    Manifest(
        files=files,
        data=Reference(name=splits.GENERATOR, sha256=data),
        recipe=Reference(name=str(recipe), sha256=file_hash(recipe)),
        created=datetime.now(UTC).replace(microsecond=0),
        **fields,
    ).write(folder)
    assert Manifest.read(folder).files == files


def _save_bf16(source: Path, target: Path) -> None:
    tensors = {
        name: tensor.to(torch.bfloat16).contiguous() for name, tensor in load_file(source).items()
    }
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValueError(f"{source} holds a weight that is not finite")
    save_file(tensors, target, metadata={"format": "pt"})


def _fresh(plan: Plan, task: str) -> Path:
    folder = plan.out / task / plan.version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default="1")
    parser.add_argument("--out", type=Path, default=Path("starter"))
    parser.add_argument("--queries", type=int, default=660)
    chosen = parser.parse_args()
    runs = {task: task for task in ("base", "fragment", "split")}
    export(Plan(chosen.version, chosen.out, runs, chosen.queries))


if __name__ == "__main__":
    main()
