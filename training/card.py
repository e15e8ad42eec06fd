"""Model cards of the published checkpoints."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from training import rivals
from training.data.world import corpus, splits

CURVES = "curves.png"
WHAT = {
    "base": "Qwen2-VL architecture at 6 million parameters, trained from random weights.",
    "fragment": "LoRA adapter: which turns and pictures of a dialogue answer a query.",
    "split": "LoRA adapter: cuts a dialogue into its topics.",
    "embed": "LoRA adapter: LamRA-Ret in small; a query and the fragment that answers it are near.",
    "rank": "LoRA adapter: LamRA-Rank in small; says whether a fragment answers a query.",
    "clip": "CLIP of 2.4 million parameters: pictures and texts in one space of 128 dimensions.",
}
HOW = {
    "base": (
        "First the vision tower, by throw-away classifiers of drawn things. Then layer by layer "
        "from below: the two lowest learn to read, that is to name what a query asks and what each "
        "line tells; the next writes numbers that the heads above it compare, learnt from all "
        "pairs of words and queries; the rest learn to point at turns under plain instructions of "
        "their own, over thin dialogues whose words that tell nothing are sampled. It has not seen "
        "the published prompts and is no assistant."
    ),
    "fragment": "LoRA above the layers that read and compare, on the published F2RVLM prompt.",
    "split": "LoRA above the layers that read and compare, on the published FFRS splitting prompt.",
    "embed": (
        "InfoNCE at temperature 0.05 over the batch, from queries to candidates, at the last token "
        "of the published prompt, with a throw-away head that names what is asked and told; first "
        "on texts alone, then on queries with fragments, in batches of fragments that are alike."
    ),
    "rank": (
        "On the published prompts in the `qwen2-vl` wording: first the lowest layers learn to "
        "gather a query that no tag ends, then next-token prediction of `Yes` and `No` for single "
        "candidates and of `Ans: (k)` for lists. Wrong candidates mostly tell all but one of the "
        "facts asked."
    ),
    "clip": (
        "With open_clip's model and loss. Words and vision layers begin with the base's; first the "
        "tower learns to tell through a throw-away head what the base sees in a picture, then "
        "drawn pictures with words about them, every few steps fragments with queries about them."
    ),
}
MEASURED = {
    "fragment": (
        "Greedy answers of these bf16 weights through transformers, without a grammar. "
        "Micro-averaged as upstream's evaluation; baselines are in `docs/benchmarks.md`, which "
        "measures the running stack: with a grammar, and by other kernels. Where it asks without a "
        "grammar, an answer that names an id which does not exist counts as empty; here that is "
        "one wrong turn."
    ),
    "split": (
        "Greedy answers of these bf16 weights through transformers, without a grammar. "
        "`docs/benchmarks.md` measures the running stack: with a grammar, and by other kernels."
    ),
    "embed": (
        "Share of the queries of the test corpus with a fragment that answers them among the "
        "first k of all fragments, by these bf16 weights through transformers; `fused` is "
        "reciprocal rank fusion of this adapter, the starter CLIP and BM25, weighed as in the "
        "`starter` profile."
    ),
    "rank": (
        "The first 20 candidates of the fused search for each query of the test corpus, in the "
        "order of the fused score and P(Yes) as the `starter` profile weighs them, by these bf16 "
        "weights through transformers; `fused` is the order before. Accuracy is of P(Yes) against "
        "one half, over the first right and the first wrong of these candidates."
    ),
    "clip": (
        "Share of the queries of the test corpus with a fragment that answers them among the "
        "first k of all fragments: by the sum of what they say and show, by what they say alone "
        "(96 tokens), and by the nearest of their pictures alone."
    ),
}
CORPUS_TASKS = ("embed", "clip", "rank")
LIMITS = (
    "It knows the synthetic world of `training/data/world` and nothing else: 79 drawn things, "
    "twelve events, twenty other topics, in English and Chinese, dialogues of 8 to 40 turns. On "
    "real conversations and photographs its answers mean nothing. Use "
    "`profiles/small.yaml` or `profiles/paper.yaml` for real data."
)


def _is_in(metric: str, others: Mapping[str, Mapping[str, float]]) -> bool:
    return any(metric in found for found in others.values())


def write(
    folder: Path,
    task: str,
    version: str,
    metrics: dict[str, float],
    *,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    seeds: Mapping[str, tuple[float, float]] | None = None,
    run: Path | None = None,
) -> None:
    """Writes `README.md`; the manifest beside it holds the same metrics.

    Args:
        beside: other systems' metrics, by name.
        seeds: by metric the mean over runs with other seeds, and the half width of its interval.
        run: folder of the run, whose learning curves are shown.
    """
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
    if task in CORPUS_TASKS:
        lines[-2] += (
            f" Measured on `{corpus.GENERATOR}`, seed {corpus.SEED}, of the same world; hashes in "
            "`training/data/world/corpus.json`."
        )
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
    if beside:
        lines += ["## Beside others", "On the same data.", ""]
        compared = {name: value for name, value in metrics.items() if _is_in(name, beside)}
        lines += [*rivals.table({f"{task}@{version}": compared, **beside}), ""]
    if seeds:
        spread = (
            f"{name.replace('_', ' ')} {mean:.3f} ± {half:.3f}"
            for name, (mean, half) in seeds.items()
        )
        lines += ["Over three seeds, mean and 95% interval: " + ", ".join(spread) + ".", ""]
    if run and (run / CURVES).exists():
        shutil.copyfile(run / CURVES, folder / CURVES)
        lines += ["## Learning curve", f"![Loss, validation and learning rate]({CURVES})", ""]
    lines += ["## Limits", LIMITS, ""]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
