"""Teaches the layers above matching to point, over lower layers that stay as they are.

Exercises of its own: which turns and pictures answer a query, where topics begin, lines of a
speaker or with these words, captions, questions about a picture, what might be said next.
"""

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoProcessor

from training import generate, loop, pointing, precision, processes, reading, scoring, whole
from training.data import prompts
from training.data.prompts import Example, Exercise
from training.data.rows import Row, Rows
from training.data.world import splits
from training.origin import Origin
from training.pointing import Learner, ThinBank
from training.recipe import RUNS, BaseRecipe
from training.vision import save

HEADS = "heads.pt"
MIXTURE: dict[Exercise, float] = {
    "find": 0.66, "topics": 0.2, "speaker": 0.03, "word": 0.03, "pictures": 0.02, "thing": 0.02,
    "caption": 0.02, "question": 0.01, "continue": 0.01,
}  # fmt: skip


def train(recipe: BaseRecipe) -> Path:
    """Trains and saves the base; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: BaseRecipe) -> None:
    folder = RUNS / recipe.name
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    reader, rows, model, pad_id = reading.load(recipe.matching, recipe.tokenizer)
    model.requires_grad_(False)
    learner = Learner(model)
    learner.stack.requires_grad_(True)
    learner.norm.requires_grad_(True)
    bank = ThinBank(reader, recipe, pad_id, lambda rng: draw(rows, rng))
    held_out = validation_examples(recipe.evaluate_queries)

    def evaluate() -> dict[str, float]:
        with precision.autocast():
            told = generate.answers(model, processor, held_out)
        return scoring.fragment_scores(told, [example.answer for example in held_out])

    loop.run(
        folder, learner, recipe.optimiser,
        lambda step: pointing.step(learner, bank, recipe, step),
        origin=Origin.of(recipe), evaluate=evaluate, evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        reading.keep_heads(reader, folder)
        keep_heads(learner, folder)
        save(model.to(torch.bfloat16), processor, folder / "model")


def draw(rows: Rows, rng: random.Random) -> Row:
    """One row of an exercise."""
    kind = rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
    sample = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]))
    return rows.exercise(kind, sample, rng)


def keep_heads(learner: Learner, folder: Path) -> None:
    """Writes the throw-away heads for the adapters that go on from this run."""
    names = ("flags", "line_flags", "begins", "known", "ids", "firsts", "shows", "carries")
    kept: dict[str, Tensor] = {
        name: value for name, value in learner.state_dict().items() if name.startswith(names)
    }
    whole.write_file(folder / HEADS, lambda file: torch.save(kept, file))


def restore_heads(learner: Any, folder: Path) -> None:
    """Goes on with the throw-away heads of the base, where it left them."""
    path = folder / HEADS
    if path.exists():
        learner.load_state_dict(torch.load(path, weights_only=True), strict=False)


def validation_examples(queries: int) -> list[Example]:
    """The base's main exercise over the first validation dialogues, one query each."""
    rng = random.Random("base/validation")
    return [
        prompts.exercise("find", splits.sample("validation", number), rng)
        for number in range(min(queries, splits.DIALOGUES["validation"]))
    ]
