"""Gives the words their meaning before the language model starts.

Words of queries and of dialogues that speak of one thing get nearby vectors, by contrast of whole
bags of words; seconds of work, where the same lesson through six layers takes an hour. The vectors
fill the first dimensions of the embedding, and pictures are led to where their words are.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import architecture, loop
from training.data.world import splits
from training.data.world.queries import make_queries
from training.recipe import RUNS, AlignmentRecipe
from training.vision import patchify, picture_tokens

PICTURE_WORDS = 8.0  # a picture weighs as much as this many words, to begin with


@dataclass(frozen=True, slots=True)
class Bag:
    """Words of one topic and the mean of its pictures' features, (width,) or None."""

    words: list[int]
    picture: Tensor | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """The topics of a dialogue, and queries with the topic that answers each."""

    topics: list[Bag]
    queries: list[tuple[list[int], int]]


class Space(nn.Module):
    """A vector and a weight for each word, and a linear map for pictures, into one space."""

    def __init__(self, words: int, width: int, dimensions: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(words, dimensions)
        self.weights = nn.Embedding(words, 1)
        nn.init.normal_(self.vectors.weight, std=0.3)
        nn.init.zeros_(self.weights.weight)
        self.pictures = nn.Linear(width, dimensions)
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def words(self) -> Tensor:
        """(words, dimensions): the vectors, long where a word tells much."""
        return self.vectors.weight * self.weights.weight.exp()

    def place(self, bags: list[Bag]) -> Tensor:
        """(bags, dimensions), each of length 1."""
        flat = torch.tensor([word for bag in bags for word in bag.words])
        owner = torch.tensor([n for n, bag in enumerate(bags) for _ in bag.words])
        told = self.vectors(flat) * self.weights(flat).exp()
        total = torch.zeros(len(bags), told.shape[1]).index_add(0, owner, told)
        shown = [n for n, bag in enumerate(bags) if bag.picture is not None]
        if shown:
            features = torch.stack([bag.picture for bag in bags if bag.picture is not None])
            seen = self.pictures(features) * PICTURE_WORDS
            total = total.index_add(0, torch.tensor(shown), seen)
        return nn.functional.normalize(total, dim=-1)


def train(recipe: AlignmentRecipe) -> Path:
    """Learns the space and saves a base whose text layers are fresh; returns its folder."""
    folder = RUNS / recipe.name
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    torch.manual_seed(recipe.seed)
    model = architecture.build(recipe.architecture, processor)
    taught = Qwen2VLForConditionalGeneration.from_pretrained(
        RUNS / recipe.vision / "model", dtype=torch.float32
    )
    model.model.visual.load_state_dict(taught.model.visual.state_dict())
    lessons = [
        _lesson(processor.tokenizer, model, "train", number) for number in range(recipe.dialogues)
    ]
    held_out = [_lesson(processor.tokenizer, model, "validation", number) for number in range(90)]
    space = Space(len(processor.tokenizer), recipe.architecture.width, recipe.dimensions)

    def step_of(step: int) -> loop.StepResult:
        rng = random.Random(f"alignment/{recipe.seed}/{step}")
        return _contrast(space, rng.sample(lessons, recipe.batch_dialogues), rng)

    def evaluate() -> dict[str, float]:
        return {"right_topic": _right_topic(space, held_out)}

    loop.run(
        folder, space, recipe.optimiser, step_of, evaluate=evaluate,
        evaluate_steps=max(1, recipe.optimiser.steps // 3),
    )  # fmt: skip
    _fill(model, space, recipe)
    tokens = processor.tokenizer.convert_tokens_to_ids(["<|utt_id_start|>", "<|query_start|>"])
    with torch.no_grad():
        for place, token in enumerate(tokens):
            row = model.get_input_embeddings().weight[token]
            row[: recipe.dimensions] = 0.0
            row[recipe.dimensions + place] = recipe.vector_length
        first = processor.tokenizer.convert_tokens_to_ids("<|im_start|>")
        model.get_input_embeddings().weight[first, recipe.dimensions + 4] = 0.5
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder / "model"


def _contrast(space: Space, lessons: list[Lesson], rng: random.Random) -> loop.StepResult:
    """Each query against all topics of the batch, and against those of its own dialogue."""
    topics = [bag for lesson in lessons for bag in lesson.topics]
    asked, gold, own = [], [], []
    first = 0
    for lesson in lessons:
        last = first + len(lesson.topics)
        for words, topic in rng.sample(lesson.queries, min(6, len(lesson.queries))):
            asked.append(Bag(words, None))
            gold.append(first + topic)
            own.append((first, last))
        first = last
    near = space.place(asked) @ space.place(topics).T * space.sharpness.exp()
    others = torch.ones_like(near, dtype=torch.bool)
    for row, (start, stop) in enumerate(own):
        others[row, start:stop] = False
    target = torch.tensor(gold)
    loss = nn.functional.cross_entropy(near, target)
    within = near.masked_fill(others, float("-inf"))
    return loop.StepResult(loss + nn.functional.cross_entropy(within, target), len(asked))


@torch.no_grad()
def _right_topic(space: Space, lessons: list[Lesson]) -> float:
    """Share of queries that lie nearest to their own topic of the dialogue."""
    right = count = 0
    for lesson in lessons:
        if not lesson.queries:
            continue
        asked = space.place([Bag(words, None) for words, _ in lesson.queries])
        nearest = (asked @ space.place(lesson.topics).T).argmax(-1).tolist()
        right += sum(n == topic for n, (_, topic) in zip(nearest, lesson.queries, strict=True))
        count += len(lesson.queries)
    return right / max(1, count)


def _lesson(tokenizer: Any, model: Any, split: splits.Split, number: int) -> Lesson:
    entry = splits.sample(split, number)
    dialogue = entry.dialogue
    queries = entry.queries
    if split == "train":
        queries = tuple(make_queries(dialogue, random.Random(number), split, 10))
    topics = []
    for topic in range(len(dialogue.topics)):
        turns = [dialogue.turns[turn] for turn in dialogue.turns_about(topic)]
        words = [word for turn in turns for word in tokenizer(f" {turn.text}")["input_ids"]]
        pictures = [turn.picture for turn in turns if turn.picture]
        seen = None
        if pictures:
            with torch.no_grad():
                seen = picture_tokens(model.model.visual, patchify(pictures)).mean(dim=(0, 1))
        topics.append(Bag(words, seen))
    told = [
        (tokenizer(query.text)["input_ids"], query.topic)
        for query in queries
        if query.topic is not None
    ]
    return Lesson(topics, told)


@torch.no_grad()
def _fill(model: Any, space: Space, recipe: AlignmentRecipe) -> None:
    """Puts the space into the embedding, the merger, and the heads that compare words."""
    size = recipe.dimensions
    words = space.words()
    scale = recipe.vector_length / words.norm(dim=-1).quantile(0.9)
    embedding = model.get_input_embeddings().weight
    embedding[:, :size] = words * scale
    last = model.model.visual.merger.mlp[-1]
    lead = space.pictures
    bias = lead.weight @ last.bias + lead.bias
    weight = lead.weight @ last.weight
    mean = _mean_length(model, lead)
    factor = recipe.vector_length / mean
    last.weight[:size] = weight * factor
    last.bias[:size] = bias * factor
    _wire(model, size, recipe.architecture.width // recipe.architecture.heads)


def _wire(model: Any, size: int, head: int) -> None:
    """Starts three heads as a comparison of the dialogue's words with the query's.

    Layer 0, heads 0 and 1: every token learns whether a line of the dialogue, and whether a query,
    began before it. Layer 1, head 0: a word looks for its like among all words before it, words
    of the query first; what it brings home is whether it looked at the query. Training goes on
    from there: these are ordinary weights.

    Only rotations that hardly turn within a dialogue compare content; the last pair of dimensions
    carries constants.
    """
    embedding = model.get_input_embeddings().weight
    line_mark, query_mark, after_line, after_query, flag = range(size, size + 5)
    embedding[:, size : size + 5] = 0.0
    half = head // 2
    constant = half - 1
    layers = model.model.language_model.layers
    for number, (mark, told) in enumerate(((line_mark, after_line), (query_mark, after_query))):
        attention = layers[0].self_attn
        rows = slice(number * head, (number + 1) * head)
        _clear(attention, rows)
        attention.q_proj.bias[number * head + constant] = 6.0
        attention.k_proj.weight[number * head + constant, mark] = 1.0
        attention.v_proj.weight[number * head, mark] = 0.2
        attention.o_proj.weight[told, number * head] = 0.2
    attention = layers[1].self_attn
    _clear(attention, slice(0, head))
    pairs = range(half - 1 - size // 2, half - 1)
    for place, row in enumerate([*pairs, *(pair + half for pair in pairs)]):
        attention.q_proj.weight[row, place] = 0.8
        attention.k_proj.weight[row, place] = 0.8
    attention.q_proj.bias[constant] = 4.5
    attention.k_proj.weight[constant, flag] = 1.3  # of the first token: where words that tell nothing look
    for told, sign in ((after_query, 1.0), (after_line, -1.0)):
        attention.k_proj.weight[constant, told] = 1.1 * sign
        attention.v_proj.weight[0, told] = 0.25 * sign
    attention.o_proj.weight[flag, 0] = 0.3


def _clear(attention: Any, rows: slice) -> None:
    """Empties one head."""
    for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
        linear.weight[rows] = 0.0
        linear.bias[rows] = 0.0
    attention.o_proj.weight[:, rows] = 0.0


def _mean_length(model: Any, lead: nn.Linear) -> Tensor:
    """Mean length of the vectors that pictures are led to."""
    from training.data.world.pictures import PictureSpec
    from training.vision import training_pairs

    rng = random.Random("alignment/length")
    specs = [PictureSpec(*rng.choice(training_pairs()), rng.randrange(10**6)) for _ in range(64)]
    return lead(picture_tokens(model.model.visual, patchify(specs))).norm(dim=-1).mean()
