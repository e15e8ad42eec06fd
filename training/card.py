"""Model cards of the published checkpoints."""

from pathlib import Path

from training.data.world import splits

WHAT = {
    "base": "Qwen2-VL architecture at 5 million parameters, trained from random weights.",
    "fragment": "LoRA adapter: which turns and pictures of a dialogue answer a query.",
    "split": "LoRA adapter: cuts a dialogue into its topics.",
}
HOW = {
    "base": (
        "First the vision tower, by a throw-away classifier of drawn things. Then the words' "
        "vectors, by contrast of whole bags of words, and two attention heads set by hand so that "
        "what is being said is compared with what is asked. Then, with these fixed, the language "
        "model: pointing at turns under plain instructions of its own, the dialogues' words, "
        "captions. It has not seen the published prompts and is no assistant."
    ),
    "fragment": "Supervised fine-tuning with TRL and PEFT on the published F2RVLM prompt.",
    "split": "Supervised fine-tuning with TRL and PEFT on the published FFRS splitting prompt.",
}
LIMITS = (
    "It knows the synthetic world of `training/data/world` and nothing else: forty drawn things, "
    "ten events, fourteen other topics, in English and Chinese, dialogues of 8 to 40 turns. On "
    "real conversations and photographs its answers mean nothing. Use "
    "`profiles/small.yaml` or `profiles/paper.yaml` for real data."
)


def write(folder: Path, task: str, version: str, metrics: dict[str, float]) -> None:
    """Writes `README.md`; the manifest beside it holds the same numbers."""
    lines = [
        f"# {task}@{version}",
        "",
        WHAT[task],
        "",
        "## Training",
        HOW[task] + f" Recipe: `training/recipes/{task}.yaml`.",
        "",
        "## Data",
        f"`{splits.GENERATOR}`, seed {splits.SEED}; hashes in `training/data/world/splits.json`, "
        "committed before training. Described in `docs/world.md`.",
        "",
    ]
    if metrics:
        lines += [
            "## Held-out test split",
            "Greedy answers of these bf16 weights through transformers, without a grammar. "
            "Micro-averaged as upstream's evaluation; baselines are in `docs/benchmarks.md`, which "
            "measures the running stack: with a grammar, and by other kernels.",
            "",
            "| metric | value |",
            "|---|---|",
            *(f"| {name.replace('_', ' ')} | {value:.6g} |" for name, value in metrics.items()),
            "",
        ]
    lines += ["## Limits", LIMITS, ""]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
