"""Teaches the starter base the world's words and how to point, over the frozen vision tower.

The answers are learnt with dense help that is thrown away at the end: a head on each line of the
dialogue says whether the line belongs to the answer, or begins a new topic, and a pair of heads
one layer lower brings a query and the lines that answer it to nearby vectors. Without the pair
the model sits on a plateau where it knows every word and matches nothing.
"""

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import generate, loop, processes, scoring
from training.data import prompts
from training.data.encode import IGNORED, Batch, Encoder, collate
from training.data.prompts import Example, Exercise
from training.data.world import splits
from training.origin import Origin
from training.recipe import RUNS, BaseRecipe
from training.vision import GRID, MERGE, patchify, picture_tokens, save

BODY_SHARE = 0.2
MATCH_WIDTH = 64
HEADS = "heads.pt"
HEAD_GAIN = 5.0
WIRED_LAYERS = 2
BATCHES_A_POOL = 8  # samples are drawn for this many steps at once, then put with their likes
SHORT_TURNS = 16
EASY: dict[Exercise, float] = {
    "find": 0.35, "topics": 0.1, "speaker": 0.15, "word": 0.15, "pictures": 0.05, "thing": 0.1,
    "caption": 0.1,
}  # fmt: skip
FIND: dict[Exercise, float] = {
    "find": 0.74, "topics": 0.13, "speaker": 0.01, "word": 0.02, "pictures": 0.01, "thing": 0.05,
    "caption": 0.04,
}  # fmt: skip
POINT: dict[Exercise, float] = {
    "find": 0.56, "topics": 0.14, "speaker": 0.12, "word": 0.08, "pictures": 0.03, "thing": 0.04,
    "caption": 0.03,
}  # fmt: skip


class Learner(nn.Module):
    """The base with its throw-away head; the vision tower takes no gradient."""

    def __init__(
        self, model: Qwen2VLForConditionalGeneration, image_id: int, recipe: BaseRecipe
    ) -> None:
        super().__init__()
        width = model.config.text_config.hidden_size
        self.model = model
        self.line_head = nn.Linear(width, 2)
        self.match_line = nn.Linear(width, MATCH_WIDTH)
        self.match_query = nn.Linear(width, MATCH_WIDTH)
        self.match_bias = nn.Parameter(torch.tensor(-1.0))
        self.find_lines = 0.0
        self._image_id = image_id
        self._line_layer = recipe.line_layer
        self._match_layer = recipe.match_layer
        self._matches = recipe.match_weight > 0
        model.model.visual.requires_grad_(False)
        if recipe.fixed_dimensions:
            _fix(model, recipe.fixed_dimensions)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the losses of answers, of the dialogue's words, of the lines, of matching."""
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
        said = (self.line_head(_levelled(points)) * HEAD_GAIN).gather(1, batch.line_kinds[:, None])[
            :, 0
        ]
        lines = nn.functional.binary_cross_entropy_with_logits(said.float(), batch.line_labels)
        finds = batch.line_kinds == 0
        self.find_lines = (
            nn.functional.binary_cross_entropy_with_logits(
                said[finds].detach().float(), batch.line_labels[finds]
            ).item()
            if finds.any()
            else 0.0
        )
        match = answer.new_zeros(())
        if self._matches:
            match = self._match_loss(out.hidden_states[self._match_layer], batch)
        return answer, body, lines if len(batch.line_rows) else answer.new_zeros(()), match

    def _match_loss(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Tells by a dot product which lines answer which of several queries.

        Queries are short and go through the lower layers alone, so that one dialogue teaches many.
        """
        if not len(batch.asks):
            return hidden.new_zeros((), dtype=torch.float32)
        lines = self.match_line(_levelled(hidden[batch.line_rows, batch.line_ends]))
        asks = self._lower_layers(batch.asks)[torch.arange(len(batch.asks)), batch.ask_ends]
        queries = self.match_query(_levelled(asks))  # (queries, MATCH_WIDTH)
        near = (lines[batch.pair_points] * queries[batch.pair_asks]).sum(-1).float()
        near = near / MATCH_WIDTH**0.5 + self.match_bias
        return nn.functional.binary_cross_entropy_with_logits(near, batch.pair_labels)

    def _lower_layers(self, ids: Tensor) -> Tensor:
        """Text (rows, tokens) to its states (rows, tokens, width) where queries are matched."""
        language = self.model.model.language_model
        hidden = language.embed_tokens(ids)
        places = torch.arange(ids.shape[1]).expand(3, *ids.shape)
        rotary = language.rotary_emb(hidden, places)
        for layer in language.layers[: self._match_layer]:
            hidden = layer(hidden, attention_mask=None, position_embeddings=rotary)
        return hidden

    def _word_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy at the points that have a target; only these meet the vocabulary."""
        kept = targets != IGNORED
        if not kept.any():
            return hidden.new_zeros((), dtype=torch.float32)
        logits = self.model.lm_head(hidden[kept])
        return nn.functional.cross_entropy(logits.float(), targets[kept])


def _fix(model: Qwen2VLForConditionalGeneration, kept: int) -> None:
    """Keeps the wiring of `training.alignment` as it is: large first steps would undo it.

    No layer writes to the first `kept` dimensions; the wired head of each of the two lowest
    layers, and the scale it reads them at, take no gradient.
    """
    language = model.model.language_model
    head = model.config.text_config.hidden_size // model.config.text_config.num_attention_heads

    def still(weight: nn.Parameter, place: tuple[slice, ...]) -> None:
        free = torch.ones_like(weight)
        free[place] = 0.0
        weight.register_hook(lambda gradient: gradient * free)

    every = slice(None)
    still(language.embed_tokens.weight, (every, slice(0, kept)))
    for number, layer in enumerate(language.layers):
        attention = layer.self_attn
        still(layer.mlp.down_proj.weight, (slice(0, kept),))
        still(attention.o_proj.weight, (slice(0, kept),))
        if number < WIRED_LAYERS:
            still(attention.o_proj.weight, (every, slice(0, head)))
            still(layer.input_layernorm.weight, (slice(0, kept),))
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
                still(linear.weight, (slice(0, head),))
                still(linear.bias, (slice(0, head),))


def _levelled(hidden: Tensor) -> Tensor:
    """Scales each state to unit variance: at their own small size the heads learn nothing."""
    return nn.functional.layer_norm(hidden, hidden.shape[-1:])


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
        usual = FIND if self._recipe.mixture == "find" else POINT
        mixture = EASY if first_step < self._recipe.easy_steps else usual
        is_brief = first_step < self._recipe.brief_steps
        tokens = self._recipe.brief_batch_tokens if is_brief else self._recipe.batch_tokens
        budget = tokens * BATCHES_A_POOL
        rows = []
        while budget > 0:
            sample = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]))
            if short and not is_brief and len(sample.dialogue.turns) > SHORT_TURNS:
                continue
            if is_brief:
                sample = prompts.brief(sample, rng)
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
    """Trains and saves the base; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: BaseRecipe) -> None:
    folder = RUNS / recipe.name
    start = RUNS / recipe.start / "model"
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    model = Qwen2VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    encoder = Encoder(processor.tokenizer, GRID // MERGE)
    learner = Learner(model, encoder.image_id, recipe)
    _restore_heads(learner, RUNS / recipe.start / HEADS)
    curriculum = Curriculum(recipe, encoder, processor.tokenizer.pad_token_id)
    held_out = validation_examples(recipe.evaluate_queries)

    def step_of(step: int) -> loop.StepResult:
        batch = curriculum.batch(step * processes.count() + processes.rank())
        with torch.autocast("cpu", torch.bfloat16):
            answer, body, lines, match = learner(batch)
        loss = answer + recipe.text_weight * body + recipe.line_weight * lines
        loss = loss + recipe.match_weight * match
        shown = {
            "answer": answer.item(),
            "body": body.item(),
            "lines": lines.item(),
            "match": match.item(),
            "find_lines": learner.find_lines,
        }
        return loop.StepResult(loss, len(batch.ids), shown)

    def evaluate() -> dict[str, float]:
        with torch.autocast("cpu", torch.bfloat16):
            told = generate.answers(model, processor, held_out)
        return scoring.fragment_scores(told, [example.answer for example in held_out])

    loop.run(
        folder, learner, recipe.optimiser, step_of, origin=Origin.of(recipe), evaluate=evaluate,
        evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        torch.save(_heads(learner), folder / HEADS)
        save(model.to(torch.bfloat16), processor, folder / "model")


def _heads(learner: Learner) -> dict[str, Tensor]:
    state = learner.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("model.")}


def _restore_heads(learner: Learner, path: Path) -> None:
    """Goes on with the throw-away heads of the run before, where it had them."""
    if path.exists():
        learner.load_state_dict(torch.load(path, weights_only=True), strict=False)


def validation_examples(queries: int) -> list[Example]:
    """The base's main exercise over the first validation dialogues, one query each."""
    rng = random.Random("base/validation")
    return [
        prompts.exercise("find", splits.sample("validation", number), rng)
        for number in range(min(queries, splits.DIALOGUES["validation"]))
    ]
