"""Publishes finished runs as checkpoints: weights in bf16, manifest, model card.

python -m training.export --out starter
python -m training.export --out starter --only split embed   # beside a published base
"""

import argparse
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from colloquy.contracts.content import Dialogue
from colloquy.registry.manifest import MANIFEST, Base, Manifest, Probe, Reference
from colloquy.registry.manifest import VERSION as VERSION_FORM
from training import adapters, card, generate, precision, probing, rivals, run, samples
from training.clip import WEIGHTS as CLIP_WEIGHTS
from training.data import prompts, public
from training.data.world import splits
from training.data.world.corpus import CorpusSplit
from training.data.world.dialogues import WorldDialogue
from training.ending import Refused
from training.evaluate import retrieval_offline as retrieval
from training.kept import BASE_FILES, WEIGHTS
from training.recipe import PUBLISHED, RUNS, VERSION, file_hash
from training.staging import SAMPLES, staged

DIALOGUE = ("fragment", "split")
RETRIEVAL = ("clip", "embed", "rank")
RECIPES = Path("training/recipes")
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MAX_FILE_BYTES = 16_000_000
ALONE = 120  # prompts that the base is asked without an adapter: it knows none of their forms


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published.

    Attributes:
        runs: name of the run of `base`, `fragment` and `split`.
        queries: held-out prompts that the metrics are measured on, for each task; of a corpus at
            most as many as it has.
        split: the corpus that retrieval is measured on.
    """

    version: str
    out: Path
    runs: dict[str, str]
    queries: int
    with_samples: bool = True
    split: CorpusSplit = "test"


def export(plan: Plan, tasks: Sequence[str] = ("base", *DIALOGUE)) -> None:
    """Writes `out/<task>/<version>/` for the base and each adapter, and the sample dialogues.

    Without `base` among them, tasks are measured on the base that is published already.

    Raises:
        Refused: a run has left no model, or there is no such base; nothing is changed.
    """
    check(plan, tasks)
    with staged(plan.out, plan.version, tasks) as stage:
        _export(replace(plan, out=stage), tasks)


def _export(plan: Plan, tasks: Sequence[str]) -> None:
    base_folder = _export_base(plan) if "base" in tasks else plan.out / "base" / plan.version
    processor = AutoProcessor.from_pretrained(base_folder)
    base_hash = file_hash(base_folder / WEIGHTS)
    for task in (task for task in DIALOGUE if task in tasks):
        folder = _fresh(plan, task)
        _export_adapter_files(RUNS / plan.runs[task] / "model", folder, plan.version)
        model = _with_adapter(base_folder, folder)
        metrics = _measured(model, processor, task, plan.queries)
        print(json.dumps({"task": task, "test": metrics}), flush=True)
        with model.disable_adapter():
            few = min(ALONE, plan.queries)
            title = f"the base alone, first {few}"
            beside = {title: _measured(model, processor, task, few)}
        beside |= rivals.rows(task, "test", plan.queries)
        card.write(
            folder, task, plan.version, metrics, beside=beside, run=RUNS / plan.runs[task],
            seeds=_over_seeds(base_folder, processor, task, metrics, plan),
        )  # fmt: skip
        _write_manifest(
            folder,
            task=task,
            version=plan.version,
            kind="adapter",
            protocol="f2rvlm",
            base=Base(version=plan.version, sha256=base_hash),
            weights=ADAPTER_WEIGHTS,
            metrics=metrics,
            probes=[_probe(model, processor, task)],
        )
        if task == "fragment" and plan.with_samples:
            samples.write(plan.out / SAMPLES, model, processor)


def _measured(model: Any, processor: Any, task: str, count: int) -> dict[str, float]:
    found = adapters.evaluate(model, processor, task, "test", count)
    return {name: round(value, 4) for name, value in found.items()}


def _over_seeds(
    base_folder: Path, processor: Any, task: str, metrics: dict[str, float], plan: Plan
) -> dict[str, tuple[float, float]]:
    """Intervals over this run and those of the same recipe with other seeds, where there are."""
    others = [RUNS / name / "model" for name in (f"{plan.runs[task]}-{n}" for n in (1, 2))]
    if not all(other.exists() for other in others):
        return {}
    found = [metrics]
    for other in others:
        model = _with_adapter(base_folder, other)
        found.append(_measured(model, processor, task, plan.queries))
    return {
        name: rivals.interval([one[name] for one in found]) for name in metrics if name != "prompts"
    }


def export_retrieval(plan: Plan, tasks: Sequence[str]) -> None:
    """Writes `clip`, `embed` and `rank` beside a base that is published already.

    Each is measured with what is there: publish `embed` before `rank`.

    Raises:
        Refused: a run has left no model, or what it is measured with is not published; nothing is
            changed.
    """
    check(plan, tasks)
    with staged(plan.out, plan.version, tasks) as stage:
        _export_retrieval(replace(plan, out=stage), tasks)


def _export_retrieval(plan: Plan, tasks: Sequence[str]) -> None:
    for task in tasks:
        folder = _fresh(plan, task)
        source = RUNS / plan.runs[task] / "model"
        if task == "clip":
            _export_clip_files(source, folder)
        else:
            _export_adapter_files(source, folder, plan.version)
    measured = retrieval.tables(plan.out, plan.version, plan.split, plan.queries)
    for task in tasks:
        folder = plan.out / task / plan.version
        metrics = _retrieval_metrics(task, measured)
        print(json.dumps({"task": task, plan.split: metrics}), flush=True)
        # The reranker has a folder for each of its stages.
        left = RUNS / plan.runs[task]
        card.write(
            folder, task, plan.version, metrics, beside=_retrieval_beside(task, measured),
            run=left / "judge" if task == "rank" else left,
        )  # fmt: skip
        at_base = plan.out / "base" / plan.version
        base = Base(version=plan.version, sha256=file_hash(at_base / WEIGHTS))
        _write_manifest(
            folder,
            task=task,
            version=plan.version,
            kind="weights" if task == "clip" else "adapter",
            protocol="open_clip" if task == "clip" else "lamra",
            base=None if task == "clip" else base,
            weights=weights_of(task),
            metrics=metrics,
            **probing.probes(task, at_base, folder),
        )


_OWN = {"embed": "embed", "clip": "clip", "rank": "fused_reranked"}
_PARTS: dict[str, tuple[str, ...]] = {
    "embed": ("fused",), "clip": ("clip_text", "clip_picture"), "rank": ("fused",)
}  # fmt: skip
_BESIDE = {
    "embed": {"the base alone": "embed_base", "the starter CLIP": "clip", "BM25": "bm25"},
    "clip": {"the starter `embed`": "embed", "BM25": "bm25"},
    "rank": {"the fused order, not reranked": "fused"},
}


def weights_of(task: str) -> str:
    """The file that holds the weights of a task's model."""
    return {"base": WEIGHTS, "clip": CLIP_WEIGHTS}.get(task, ADAPTER_WEIGHTS)


def check_version(version: str) -> None:
    """Sees that it is a name, not a path: folders are called so.

    Raises:
        Refused: it is not.
    """
    if not re.fullmatch(VERSION_FORM, version):
        raise Refused(f"version: {version!r} is none; letters, digits, points and hyphens are")


def check(plan: Plan, tasks: Sequence[str]) -> None:
    """Looks for all that publishing `tasks` takes, before anything that is there is replaced.

    Raises:
        Refused: what is missing, and what makes it.
    """
    check_version(plan.version)
    for task in tasks:
        model = RUNS / plan.runs[task] / "model"
        if not model.is_dir():
            raise Refused(f"{task}: there is no {model}; first `colloquy train {task}`")
        for name in (*(BASE_FILES if task == "base" else ()), weights_of(task)):
            if not (model / name).is_file():
                raise Refused(f"{task}: there is no {model / name}; the run is damaged")
    needed = set() if "base" in tasks else {"base"}
    needed |= {"embed"} if "rank" in tasks else set()
    for task in sorted(needed - set(tasks)):
        published = plan.out / task / plan.version
        if not (published / MANIFEST).exists():
            raise Refused(f"{task}: is not published in {published}; name it too")


def _retrieval_metrics(task: str, measured: dict[str, Any]) -> dict[str, float]:
    """The numbers of a task, one level deep, as `recall_at_5` or `fused_recall_at_5`."""
    metrics: dict[str, float] = dict(measured[_OWN[task]]["all"])
    for name in _PARTS[task]:
        for metric, value in measured.get(name, {}).get("all", {}).items():
            metrics[f"{name}_{metric}"] = value
    if task == "rank":
        metrics["pointwise_accuracy"] = measured["pointwise_accuracy"]
    return metrics


def _retrieval_beside(task: str, measured: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What others find of the same queries, by name."""
    rows = {
        title: dict(measured[name]["all"])
        for title, name in _BESIDE[task].items()
        if name in measured
    }
    if task == "rank":
        rows["the base alone"] = {"pointwise_accuracy": measured["base_accuracy"]}
    return rows


def _export_clip_files(source: Path, folder: Path) -> None:
    for path in sorted(source.iterdir()):
        if path.name != CLIP_WEIGHTS:
            shutil.copyfile(path, folder / path.name)
    _save_bf16(source / CLIP_WEIGHTS, folder / CLIP_WEIGHTS)


def _export_base(plan: Plan) -> Path:
    folder = _fresh(plan, "base")
    source = RUNS / plan.runs["base"] / "model"
    for name in BASE_FILES:
        shutil.copyfile(source / name, folder / name)
    _save_bf16(source / WEIGHTS, folder / WEIGHTS)
    card.write(folder, "base", plan.version, {}, run=RUNS / plan.runs["base"])
    _write_manifest(
        folder, task="base", version=plan.version, kind="base", protocol=None, base=None,
        weights=WEIGHTS, metrics={}, probes=[],
    )  # fmt: skip
    return folder


def _export_adapter_files(source: Path, folder: Path, version: str) -> None:
    settings = json.loads((source / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = f"base@{version}"
    settings["inference_mode"] = True
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "adapter_config.json").write_text(text)
    _save_bf16(source / ADAPTER_WEIGHTS, folder / ADAPTER_WEIGHTS)


def _with_adapter(base_folder: Path, folder: Path) -> Any:
    """The published weights as they are served: adapter unmerged."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(base_folder, dtype=precision.dtype())
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
            size = path.stat().st_size
            raise Refused(f"{path.name}: has {size} bytes, more than {MAX_FILE_BYTES}")
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
    try:
        loaded = load_file(source)
    except SafetensorError as error:
        raise Refused(f"{source}: is damaged: {error}") from None
    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in loaded.items()}
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise Refused(f"{source}: holds a weight that is not finite")
    save_file(tensors, target, metadata={"format": "pt"})


def _fresh(plan: Plan, task: str) -> Path:
    folder = plan.out / task / plan.version
    folder.mkdir(parents=True)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--out", type=Path, default=Path("starter"))
    parser.add_argument("--queries", type=int, default=1080)
    parser.add_argument("--only", nargs="+", choices=PUBLISHED, help="leave the others alone")
    chosen = parser.parse_args()
    plan = Plan(chosen.version, chosen.out, {task: task for task in PUBLISHED}, chosen.queries)
    wanted = chosen.only or ("base", *DIALOGUE)
    return run.exit_status_of(lambda: _publish(plan, wanted), "export")


def _publish(plan: Plan, wanted: Sequence[str]) -> None:
    check(plan, wanted)
    if set(wanted) & {"base", *DIALOGUE}:
        export(plan, [task for task in wanted if task not in RETRIEVAL])
    if set(wanted) & set(RETRIEVAL):
        export_retrieval(plan, [task for task in RETRIEVAL if task in wanted])


if __name__ == "__main__":
    raise SystemExit(main())
