"""Model cards of the published checkpoints."""

from pathlib import Path

from training.data.world import splits

WHAT = {
    "base": "Qwen2-VL architecture at 5 million parameters, trained from random weights.",
    "fragment": "LoRA adapter: which turns and pictures of a dialogue answer a query.",
    "split": "LoRA adapter: cuts a dialogue into its topics.",
    "embed": "LoRA adapter: LamRA-Ret in small; a query and the fragment that answers it are near.",
    "rank": "LoRA adapter: LamRA-Rank in small; says whether a fragment answers a query.",
    "clip": "CLIP of 2.3 million parameters: pictures and texts in one space of 128 dimensions.",
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
    "embed": (
        "InfoNCE at temperature 0.05 over the batch, from queries to candidates, at the last token "
        "of the published prompt; first on texts alone, then on queries with fragments."
    ),
    "rank": (
        "On the published prompts in the `qwen2-vl` wording, layer by layer from below: to read "
        "what a query asks and a candidate tells, to match both, then next-token prediction of "
        "`Yes` and `No` for single candidates and of `Ans: (k)` for lists. Wrong candidates "
        "mostly tell all but one of the facts asked."
    ),
    "clip": (
        "From random weights with open_clip's model and loss: drawn pictures with words about "
        "them, every few steps fragments with queries about them."
    ),
}
MEASURED = {
    "fragment": (
        "Greedy answers of these bf16 weights through transformers, without a grammar. "
        "Micro-averaged as upstream's evaluation; baselines are in `docs/benchmarks.md`, which "
        "measures the running stack: with a grammar, and by other kernels."
    ),
    "embed": (
        "Share of the queries of `corpus-1` (test) with a fragment that answers them among the "
        "first k of all fragments, by these bf16 weights through transformers; `fused` is "
        "reciprocal rank fusion of this adapter, the starter CLIP and BM25."
    ),
    "rank": (
        "The first 20 candidates of the starter `embed` for each query of `corpus-1` (test), in "
        "the order of cosine plus P(Yes), by these bf16 weights through transformers. Accuracy is "
        "of P(Yes) against one half, over the first right and the first wrong of these candidates."
    ),
    "clip": (
        "Share of the queries of `corpus-1` (test) with a fragment that answers them among the "
        "first k of all fragments: by the sum of what they say and show, by what they say alone "
        "(96 tokens), and by the nearest of their pictures alone."
    ),
}
MEASURED["split"] = MEASURED["fragment"]
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
            MEASURED[task],
            "",
            "| metric | value |",
            "|---|---|",
            *(f"| {name.replace('_', ' ')} | {value:.6g} |" for name, value in metrics.items()),
            "",
        ]
    lines += ["## Limits", LIMITS, ""]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
