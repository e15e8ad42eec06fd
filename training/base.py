"""Teaches the starter base the world's words and how to point, over the frozen vision tower.

The answers are learnt with dense help that is thrown away at the end: a head on each line of the
dialogue says whether the line belongs to the answer, or begins a new topic.
"""

import os
import random
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import generate, loop, scoring
from training.data import prompts
from training.data.encode import IGNORED, Batch, Encoder, collate
from training.data.prompts import Example, Exercise
from training.data.world import splits
from training.recipe import RUNS, BaseRecipe
from training.vision import GRID, MERGE, patchify, picture_tokens

BODY_SHARE = 0.2
BATCHES_A_POOL = 8  # samples are drawn for this many steps at once, then put with their likes
SHORT_TURNS = 16
EARLY: dict[Exercise, float] = {
    "find": 0.35, "topics": 0.1, "speaker": 0.15, "word": 0.15, "pictures": 0.05, "thing": 0.1,
    "caption": 0.1,
}  # fmt: skip
LATE: dict[Exercise, float] = {
    "find": 0.66, "topics": 0.18, "speaker": 0.02, "word": 0.02, "pictures": 0.01, "thing": 0.06,
    "caption": 0.05,
}  # fmt: skip


class Learner(nn.Module):
    """The base with its throw-away head; the vision tower takes no gradient."""

    def __init__(
        self, model: Qwen2VLForConditionalGeneration, image_id: int, line_layer: int
    ) -> None:
        super().__init__()
        self.model = model
        self.line_head = nn.Linear(model.config.text_config.hidden_size, 2)
        self._image_id = image_id
        self._line_layer = line_layer
        model.model.visual.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the losses of answers, of the dialogue's words, and of the lines."""
        inner = self.model.model
        embedded = inner.language_model.embed_tokens(batch.ids)  # (rows, tokens, width)
        if batch.pictures:
            with torch.no_grad():
                seen = picture_tokens(inner.visual, patchify(batch.pictures))
            places = batch.ids == self._image_id
            embedded = embedded.masked_scatter(places[..., None], seen.to(embedded.dtype))
        out = inner.language_model(
            inputs_embeds=embedded,
            position_ids=batch.positions,
            use_cache=False,
            output_hidden_states=True,
        )
        answer = self._word_loss(out.last_hidden_state, batch.answer_targets)
        body = self._word_loss(out.last_hidden_state, batch.body_targets)
        middle = out.hidden_states[self._line_layer]
        points = middle[batch.line_rows, batch.line_ends]  # (points, width)
        said = self.line_head(points).gather(1, batch.line_kinds[:, None])[:, 0]
        lines = nn.functional.binary_cross_entropy_with_logits(said.float(), batch.line_labels)
        return answer, body, lines if len(batch.line_rows) else answer.new_zeros(())

    def _word_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy at the points that have a target; only these meet the vocabulary."""
        kept = targets != IGNORED
        if not kept.any():
            return hidden.new_zeros((), dtype=torch.float32)
        logits = self.model.lm_head(hidden[kept])
        return nn.functional.cross_entropy(logits.float(), targets[kept])


class Curriculum:
    """Which examples a step sees; decided by the step's number alone."""

    def __init__(self, recipe: BaseRecipe, encoder: Encoder, pad_id: int) -> None:
        self._recipe = recipe
        self._encoder = encoder
        self._pad_id = pad_id
        self._pool: tuple[int, list[Batch]] = (-1, [])

    def batch(self, step: int) -> Batch:
        pool, place = divmod(step, BATCHES_A_POOL)
        if self._pool[0] != pool:
            self._pool = (pool, self._fill(pool))
        return self._pool[1][place]

    def _fill(self, pool: int) -> list[Batch]:
        """Draws examples until they fill a pool, sorts by length, cuts, shuffles the batches."""
        rng = random.Random(f"base/{self._recipe.seed}/{pool}")
        first_step = pool * BATCHES_A_POOL // self._recipe.processes
        short = first_step < self._recipe.short_steps
        mixture = EARLY if short else LATE
        budget = self._recipe.batch_tokens * BATCHES_A_POOL
        rows = []
        while budget > 0:
            sample = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]))
            if short and len(sample.dialogue.turns) > SHORT_TURNS:
                continue
            kind = rng.choices(list(mixture), list(mixture.values()))[0]
            row = self._encoder.encode(prompts.exercise(kind, sample, rng))
            budget -= len(row.ids)
            rows.append(row)
        rows.sort(key=lambda row: len(row.ids))
        share = sum(len(row.ids) for row in rows) / BATCHES_A_POOL
        cuts: list[list[Any]] = [[]]
        filled = 0
        for row in rows:
            if filled >= share * len(cuts) and len(cuts) < BATCHES_A_POOL:
                cuts.append([])
            cuts[-1].append(row)
            filled += len(row.ids)
        rng.shuffle(cuts)
        return [collate(cut, self._pad_id, rng, BODY_SHARE) for cut in cuts]


def train(recipe: BaseRecipe) -> Path:
    """Trains and saves the base; returns its folder.

    One thread a process: where other work shares the cores, processes that meet once a step lose
    far less than threads that meet in every operation.
    """
    folder = RUNS / recipe.name
    if recipe.processes == 1:
        _train(recipe, folder)
    else:
        with tempfile.TemporaryDirectory() as meeting:
            arguments = (recipe, folder, f"file://{meeting}/store")
            multiprocessing.spawn(_worker, arguments, nprocs=recipe.processes)
    return folder / "model"


def _worker(number: int, recipe: BaseRecipe, folder: Path, store: str) -> None:
    cores = os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // recipe.processes))
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=recipe.processes)
    _train(recipe, folder)
    dist.destroy_process_group()


def _train(recipe: BaseRecipe, folder: Path) -> None:
    start = RUNS / recipe.vision / "model"
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    model = Qwen2VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    encoder = Encoder(processor.tokenizer, GRID // MERGE)
    learner = Learner(model, encoder.image_id, recipe.line_layer)
    curriculum = Curriculum(recipe, encoder, processor.tokenizer.pad_token_id)
    held_out = validation_examples(recipe.evaluate_queries)

    def step_of(step: int) -> loop.StepResult:
        batch = curriculum.batch(step * loop.processes() + loop.rank())
        with torch.autocast("cpu", torch.bfloat16):
            answer, body, lines = learner(batch)
        loss = answer + recipe.text_weight * body + recipe.line_weight * lines
        shown = {"answer": answer.item(), "body": body.item(), "lines": lines.item()}
        return loop.StepResult(loss, len(batch.ids), shown)

    def evaluate() -> dict[str, float]:
        with torch.autocast("cpu", torch.bfloat16):
            told = generate.answers(model, processor, held_out)
        return scoring.fragment_scores(told, [example.answer for example in held_out])

    loop.run(
        folder, learner, recipe.optimiser, step_of, evaluate=evaluate,
        evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if loop.rank() == 0:
        model.to(torch.bfloat16).save_pretrained(folder / "model")
        processor.save_pretrained(folder / "model")


def validation_examples(queries: int) -> list[Example]:
    """The base's main exercise over the first validation dialogues, one query each."""
    rng = random.Random("base/validation")
    return [
        prompts.exercise("find", splits.sample("validation", number), rng)
        for number in range(min(queries, splits.DIALOGUES["validation"]))
    ]
