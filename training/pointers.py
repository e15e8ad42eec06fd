"""Teaches a LoRA adapter a published task that points at turns, as the base was taught to point."""

import random
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from transformers import AutoProcessor

from training import adapters, base, loop, pointing, precision, processes, reading, whole
from training.data import prompts, roughened
from training.data.rows import Row, Rows
from training.data.world import splits
from training.data.world.splits import Sample
from training.matching import UPPER
from training.origin import Origin
from training.pointing import Learner, ThinBank
from training.recipe import RUNS, PointingRecipe


def train(recipe: PointingRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: PointingRecipe) -> None:
    folder = RUNS / recipe.name
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    reader, rows, model, pad_id = reading.load(recipe.base, recipe.tokenizer)
    bank = ThinBank(reader, recipe, pad_id, lambda rng: draw(recipe.task, rows, rng))
    adapted: Any = get_peft_model(model, adapters.lora(recipe.rank, recipe.alpha, UPPER))
    learner = Learner(model)
    base.restore_heads(learner, RUNS / recipe.base)

    def evaluate() -> dict[str, float]:
        with precision.autocast():
            return adapters.evaluate(
                adapted, processor, recipe.task, "validation", recipe.evaluate_queries
            )

    loop.run(
        folder, learner, recipe.optimiser,
        lambda step: pointing.step(learner, bank, recipe, step),
        origin=Origin.of(recipe), evaluate=evaluate, evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        whole.write_folder(folder / "model", adapted.save_pretrained)


def draw(task: str, rows: Rows, rng: random.Random) -> Row:
    """One published prompt with its answer."""
    sample = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]))
    query = rng.choice(sample.queries)
    sample = roughened.sample(Sample(sample.dialogue, (query,)), rng)
    if task == "split":
        return rows.row(prompts.split_example(sample.dialogue), sample.dialogue, {})
    example = prompts.fragment_example(sample.dialogue, sample.queries[0])
    return rows.row(example, sample.dialogue, query.facets)
