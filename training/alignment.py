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
from training.origin import Origin
from training.recipe import RUNS, AlignmentRecipe
from training.vision import patchify, picture_tokens, save

# Pairs of rotated dimensions and their weights: a sum of cosines that is high for near words only.
NEARNESS = ((2, 5.3), (3, 6.7), (4, 7.5))
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
        folder, space, recipe.optimiser, step_of, origin=Origin.of(recipe), evaluate=evaluate,
        evaluate_steps=max(1, recipe.optimiser.steps // 3),
    )  # fmt: skip
    marked = processor.tokenizer.convert_tokens_to_ids(["<|query_end|>", "<|im_start|>"])
    _fill(model, space, recipe, marked)
    return save(model, processor, folder / "model")


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
def _fill(model: Any, space: Space, recipe: AlignmentRecipe, marked: list[int]) -> None:
    """Puts the space into the embedding and the merger, and wires the heads that compare.

    Args:
        marked: ids of the token that ends a query, and of the one that begins a prompt.
    """
    size = recipe.dimensions
    kept = fixed_dimensions(size)
    words = space.words()
    scale = recipe.vector_length / words.norm(dim=-1).quantile(0.9)
    embedding = model.get_input_embeddings().weight
    embedding[:, :kept] = 0.0
    embedding[:, :size] = words * scale
    for place, token in enumerate(marked):
        embedding[token, :size] = 0.0
        embedding[token, size + place] = recipe.vector_length
    last = model.model.visual.merger.mlp[-1]
    lead = space.pictures
    factor = recipe.vector_length / _mean_length(model, lead)
    bias = (lead.weight @ last.bias + lead.bias) * factor
    weight = (lead.weight @ last.weight) * factor
    last.weight[:kept], last.bias[:kept] = 0.0, 0.0
    last.weight[:size], last.bias[:size] = weight, bias
    layers = model.model.language_model.layers
    for layer in layers:
        layer.self_attn.o_proj.weight[:kept] = 0.0
        layer.mlp.down_proj.weight[:kept] = 0.0
    model.model.language_model.norm.weight[:kept] = 0.05  # they tell nothing of the next word
    _wire(layers, size, recipe.architecture.width // recipe.architecture.heads, recipe)


def fixed_dimensions(size: int) -> int:
    """How many dimensions the wiring uses: the space, two marks, its mean nearby, the finding."""
    return 2 * size + 3


def _wire(layers: Any, size: int, head: int, recipe: AlignmentRecipe) -> None:
    """Starts two heads as a comparison of what is being said with what is asked.

    Layer 0, head 0: the mean of the words nearby. Layer 1, head 0: that mean looks for its like at
    the end of the query, or else at the beginning of the prompt; what it brings home is whether it
    found it. Only rotations that hardly turn within a dialogue compare content; the slowest pair
    of dimensions carries constants.
    """
    half = head // 2
    asked, began = size, size + 1
    nearby = slice(size + 2, 2 * size + 2)
    found = 2 * size + 2
    rows = slice(0, head)
    attention = layers[0].self_attn
    _clear(attention, rows)
    for pair, weight in NEARNESS:
        attention.q_proj.bias[pair] = weight
        attention.k_proj.bias[pair] = weight
    attention.v_proj.weight[:size, :size] = torch.eye(size)
    attention.o_proj.weight[nearby, :size] = torch.eye(size) * recipe.nearby_gain
    attention = layers[1].self_attn
    _clear(attention, rows)
    pairs = range(half - 1 - size // 2, half - 1)
    for place, row in enumerate([*pairs, *(pair + half for pair in pairs)]):
        attention.q_proj.weight[row, nearby.start + place] = recipe.comparing_gain
        attention.k_proj.weight[row, nearby.start + place] = recipe.comparing_gain
    attention.q_proj.bias[half - 1] = 20.0
    attention.k_proj.weight[half - 1, asked] = 1.0
    attention.k_proj.weight[half - 1, began] = 1.0
    attention.k_proj.bias[half - 1] = 0.0
    attention.v_proj.weight[0, asked] = 1.0
    attention.o_proj.weight[found, 0] = recipe.found_gain


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
