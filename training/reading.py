"""Teaches the two lowest layers to read: what a query asks, and what each line of a dialogue tells.

Throw-away heads name facts: at the token that ends a query what it asks for, and in a line the
facts that at least one of its tokens must know. First the words' vectors learn this alone, which
takes a minute; the layers then learn what it takes several words to know, and to gather.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import loop, precision, processes, values, whole
from training.data.encode import Encoder
from training.data.rows import NOTHING, Block, Rows, gather
from training.data.world import splits
from training.layers import Layers, levelled
from training.origin import Origin
from training.recipe import RUNS, ReadingRecipe
from training.values import Values
from training.vision import GRID, MERGE, save

READS = 2  # layers that read
HEADS = "reading.pt"
SHARP = 8.0  # what the heads' logits are multiplied by, so that they learn fast
RARE = -4.0  # logit of a value before anything is learnt: few tokens tell any
FAR = -1e4


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of a block.

    Attributes:
        hidden: (rows, tokens, width), the states after the layers.
        tells: (rows, tokens, values), how surely a token tells each value.
        asks: for each facet (queries, 1 + values): asked for nothing, or a value.
    """

    hidden: Tensor
    tells: Tensor
    asks: list[Tensor]


class Reader(nn.Module):
    """The lowest layers, and the heads that are thrown away."""

    def __init__(self, model: Qwen2VLForConditionalGeneration, image_id: int) -> None:
        super().__init__()
        self.values: Values = values.of_the_world()
        self.layers = Layers(model, image_id)
        self.embedding = self.layers.language.embed_tokens
        self.stack = self.layers.language.layers[:READS]
        width = model.config.text_config.hidden_size
        self.telling = nn.Linear(width, len(self.values.all))
        self.asking = nn.Linear(width, len(self.values.of_facet) + len(self.values.all))
        nn.init.normal_(self.telling.weight, std=0.02)
        nn.init.normal_(self.asking.weight, std=0.02)
        nn.init.constant_(self.telling.bias, RARE / SHARP)

    def forward(self, block: Block, *, words_alone: bool = False) -> Read:
        hidden = self.layers.embed(block.ids, block.pictures)
        if not words_alone:
            hidden = self.layers.run(hidden, block.positions, 0, READS)[-1]
        level = levelled(hidden)
        return Read(hidden, self.telling(level).float() * SHARP, self._asks(level, block))

    def _asks(self, level: Tensor, block: Block) -> list[Tensor]:
        asked = (block.query_ends != NOTHING).nonzero()[:, 0]
        logits = self.asking(level[asked, block.query_ends[asked]]).float() * SHARP
        facets = len(self.values.of_facet)
        return [
            torch.cat([logits[:, n : n + 1], logits[:, facets:][:, own]], -1)
            for n, own in enumerate(self.values.of_facet.values())
        ]

    def told_loss(self, read: Read, block: Block) -> tuple[Tensor, float]:
        """Binary loss of what each line tells, and the share of told values that are known."""
        surest, truth = self.lines(read, block)
        loss = nn.functional.binary_cross_entropy_with_logits(surest, truth, reduction="sum")
        known = (surest[truth > 0] > 0).float().mean().item()
        return loss / len(truth), known

    def lines(self, read: Read, block: Block) -> tuple[Tensor, Tensor]:
        """(lines, values), twice: the logit of each line's surest token, and what it tells."""
        told = [self.values.told(line) for row in block.rows for line in row.told]
        counts = [len(row.told) for row in block.rows]
        first = torch.tensor([0, *counts]).cumsum(0)[:-1]
        place = torch.where(block.line_of == NOTHING, NOTHING, block.line_of + first[:, None])
        inside = place != NOTHING
        index = place[inside][:, None].expand(-1, read.tells.shape[-1])
        start = torch.full((len(told), read.tells.shape[-1]), FAR)
        surest = start.scatter_reduce(0, index, read.tells[inside], "amax", include_self=False)
        return surest, torch.stack(told)

    def words_loss(self, read: Read, block: Block) -> Tensor:
        """Binary loss of what the words of queries ask for, each by itself."""
        rows = [n for n, row in enumerate(block.rows) if row.query_end != NOTHING]
        within = torch.zeros(len(rows), block.ids.shape[1], dtype=torch.bool)
        for place, number in enumerate(rows):
            within[place, : block.rows[number].query_end] = True
        surest = read.tells[rows].masked_fill(~within[..., None], FAR).amax(1)
        truth = torch.stack([self.values.told([block.rows[n].asked]) for n in rows])
        loss = nn.functional.binary_cross_entropy_with_logits(surest, truth, reduction="sum")
        return loss / len(rows)

    def asks_loss(self, read: Read, block: Block) -> tuple[Tensor, float]:
        """Cross entropy over the facets, and the share of queries that are read rightly."""
        asked = [self.values.asked(r.asked) for r in block.rows if r.query_end != NOTHING]
        target = torch.tensor(asked)  # (queries, facets)
        losses = [
            nn.functional.cross_entropy(logits, target[:, n]) for n, logits in enumerate(read.asks)
        ]
        found = torch.stack([logits.argmax(-1) for logits in read.asks], -1)
        right = (found == target).all(-1).float().mean().item()
        return torch.stack(losses).sum(), right


def train(recipe: ReadingRecipe) -> Path:
    """Trains and saves the base so far; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def load(name: str, tokenizer: str) -> tuple[Reader, Rows, Qwen2VLForConditionalGeneration, int]:
    """A run's reader, what makes its rows, its model, and the padding's token."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        RUNS / name / "model", dtype=torch.float32
    )
    reader, rows, pad_id = parts(model, tokenizer)
    heads = RUNS / name / HEADS
    if heads.exists():
        reader.load_state_dict(torch.load(heads, weights_only=True), strict=False)
    return reader, rows, model, pad_id


def parts(model: Qwen2VLForConditionalGeneration, tokenizer: str) -> tuple[Reader, Rows, int]:
    processor = AutoProcessor.from_pretrained(RUNS / tokenizer / "model")
    encoder = Encoder(processor.tokenizer, GRID // MERGE)
    pad_id = int(processor.tokenizer.pad_token_id)
    return Reader(model, encoder.image_id), Rows(encoder, processor.tokenizer), pad_id


def keep_heads(reader: Reader, folder: Path) -> None:
    """Writes the throw-away heads for the runs that go on from this one."""
    heads = {n: v for n, v in reader.state_dict().items() if n.startswith(("telling", "asking"))}
    whole.write_file(folder / HEADS, lambda file: torch.save(heads, file))


def _train(recipe: ReadingRecipe) -> None:
    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    reader, rows, model, pad_id = load(recipe.vision, recipe.tokenizer)

    def step_of(step: int) -> loop.StepResult:
        rng = random.Random(f"reading/{recipe.seed}/{step}/{processes.rank()}")
        dialogues, pictures, queries = _blocks(rows, recipe, rng, pad_id)
        alone = step < recipe.word_steps
        with precision.autocast():
            read, looked, asked = (
                reader(block, words_alone=alone) for block in (dialogues, pictures, queries)
            )
        told, known = reader.told_loss(read, dialogues)
        seen, recognised = reader.told_loss(looked, pictures)
        loss = told + 0.5 * seen + 0.5 * reader.words_loss(asked, queries)
        asks, right = reader.asks_loss(asked, queries)
        if not alone:
            loss = loss + asks + 0.2 * reader.asks_loss(read, dialogues)[0]
        shown = {
            "told": told.item(), "seen": seen.item(), "asks": asks.item(), "known": known,
            "recognised": recognised, "right": right,
        }  # fmt: skip
        return loop.StepResult(loss, len(dialogues.rows) + len(queries.rows), shown)

    held_out = validation_blocks(rows, pad_id)
    loop.run(
        folder, reader, recipe.optimiser, step_of, origin=Origin.of(recipe),
        evaluate=lambda: evaluate(reader, held_out), evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        keep_heads(reader, folder)
        processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
        save(model, processor, folder / "model")


def _blocks(
    rows: Rows, recipe: ReadingRecipe, rng: random.Random, pad_id: int
) -> tuple[Block, Block, Block]:
    """Dialogues, pictures alone, and queries alone."""
    drawn = []
    for _ in range(recipe.batch_dialogues):
        sample = splits.sample("train", rng.randrange(splits.DIALOGUES["train"]), queries=1)
        drawn.append(rows.exercise("find", sample, rng))
    queries = [rows.query("train", rng) for _ in range(recipe.batch_queries)]
    pictures = [rows.picture(rng) for _ in range(recipe.batch_pictures)]
    return gather(drawn, pad_id), gather(pictures, pad_id), gather(queries, pad_id)


def validation_blocks(rows: Rows, pad_id: int, dialogues: int = 60) -> tuple[Block, Block]:
    """Validation dialogues, and queries alone, as they are."""
    rng = random.Random("reading/validation")
    drawn = [
        rows.exercise("find", splits.sample("validation", number), rng, rough=False)
        for number in range(dialogues)
    ]
    queries = [rows.query("validation", rng, rough=False) for _ in range(3 * dialogues)]
    return gather(drawn, pad_id), gather(queries, pad_id)


@torch.no_grad()
def evaluate(reader: Reader, blocks: tuple[Block, Block]) -> dict[str, float]:
    """F1 of what lines tell, and the share of queries of which every facet is read rightly."""
    dialogues, queries = blocks
    with precision.autocast():
        read, asked = (reader(block) for block in blocks)
    surest, truth = reader.lines(read, dialogues)
    said, truth = surest > 0, truth > 0
    hits = (said & truth).sum().item()
    _, right = reader.asks_loss(asked, queries)
    return {
        "told_f1": 2 * hits / max(1, said.sum().item() + truth.sum().item()),
        "asked": right,
    }
