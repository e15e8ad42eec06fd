"""How the higher layers are taught to point: over thin dialogues, with help that is thrown away.

Answers alone teach slowly, so each layer is told what it could know: the one that compares which
words tell what is asked; the next which lines do; then which lines begin another topic; then
which are known to belong to the answer. Ends of lines learn the numbers that an answer names them
by, as what is compared there has to be said in these.
"""

import math
import random
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import Qwen2VLForConditionalGeneration

from training import precision, processes, watching
from training.data.encode import IGNORED
from training.data.rows import Row
from training.layers import Layers, levelled
from training.loop import StepResult
from training.matching import MATCHES
from training.reading import Reader
from training.thinning import NO_PICTURE, NUMBERS, Thin, thin
from training.values import KINDS

GAIN = 5.0  # what the heads' logits are multiplied by, so that they learn fast
SHOWN_SELDOM = 0.1  # weight of turns that show nothing, as most do
FOUND = 4.0  # weight of a word or line that tells what is asked, where most do not
# By layer above the matching one: which lines tell it, which begin a topic, which answer.
LINES, BEGINS, KNOWN, NAMES = 1, 2, 3, 4
HELD_IN_POOL = 8  # batches that are drawn at once, so that rows of one length meet


class Settings(Protocol):
    """What a recipe says of a run over thin dialogues."""

    @property
    def seed(self) -> int: ...
    @property
    def bank_batches(self) -> int: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def short_steps(self) -> int: ...
    @property
    def help_weight(self) -> float: ...


class Learner(nn.Module):
    """The taught layers and the heads that are thrown away.

    Args:
        model: bare, or with an adapter whose weights alone take a gradient.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration) -> None:
        super().__init__()
        width = model.config.text_config.hidden_size
        self._layers = Layers(model, 0)
        self._words = model.lm_head
        self.stack = self._layers.language.layers[MATCHES:]
        self.norm = self._layers.language.norm
        self.flags = nn.Linear(width, len(KINDS))
        self.line_flags = nn.Linear(width, len(KINDS))
        self.begins = nn.Linear(width, 1)
        self.known = nn.Linear(width, 1)
        self.ids = nn.Linear(width, NUMBERS)
        self.firsts = nn.Linear(width, NUMBERS)
        self.shows = nn.Linear(width, NUMBERS)
        self.carries = nn.Linear(width, NUMBERS + 1)

    def forward(self, batch: Thin) -> dict[str, Tensor]:
        """The losses."""
        hidden = batch.hidden.float()
        count = len(self._layers.language.layers)
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        states = self._layers.run(hidden, batch.positions, MATCHES, count, batch.mask(dtype))
        kept = batch.targets != IGNORED
        logits = self._words(self.norm(states[-1][kept]))
        losses = {"answer": nn.functional.cross_entropy(logits.float(), batch.targets[kept])}
        if len(batch.word_rows):
            words = states[0][batch.word_rows, batch.word_places]
            losses["words"] = _binary(self.flags, words, batch.word_flags, FOUND)
        if len(batch.asked_lines):
            rows, places = (
                part[batch.asked_lines] for part in (batch.line_rows, batch.line_places)
            )
            lines = states[LINES][rows, places]
            losses["lines"] = _binary(self.line_flags, lines, batch.line_flags, FOUND)
            lines = states[KNOWN][rows, places]
            losses["known"] = _binary(self.known, lines, batch.line_known[:, None])
        if len(batch.line_rows):
            ends = states[BEGINS][batch.line_rows, batch.line_places]
            losses["begins"] = _binary(self.begins, ends, batch.line_begins[:, None], 2.0)
        named = {
            "ids": (self.ids, BEGINS, batch.line_ids),
            "shows": (self.shows, BEGINS, batch.line_shows),
            "firsts": (self.firsts, KNOWN, batch.line_firsts),
        }
        for name, (head, layer, numbers) in named.items():
            ends = states[layer][batch.line_rows, batch.line_places]
            losses |= _naming(name, head, ends, numbers)
        told = states[NAMES][batch.named_rows, batch.named_places]
        return losses | _naming("carries", self.carries, told, batch.named_shows)


def _naming(name: str, head: nn.Linear, states: Tensor, numbers: Tensor) -> dict[str, Tensor]:
    """Cross entropy over numbers, in parts of what knowing nothing has; none without any."""
    if not (numbers != IGNORED).any():
        return {}
    logits = head(levelled(states)).float() * GAIN
    weights = torch.ones(head.out_features)
    weights[NO_PICTURE:] = SHOWN_SELDOM
    loss = nn.functional.cross_entropy(logits, numbers, weights)
    return {name: loss / math.log(NUMBERS)}


def _binary(head: nn.Linear, states: Tensor, truth: Tensor, weight: float = 1.0) -> Tensor:
    logits = head(levelled(states)).float() * GAIN
    return nn.functional.binary_cross_entropy_with_logits(
        logits, truth, pos_weight=torch.tensor(weight)
    )


class ThinBank:
    """Batches of thin rows, read once; which one a step sees is decided by its number.

    Args:
        draw: makes a row.
    """

    def __init__(
        self,
        reader: Reader,
        settings: Settings,
        pad_id: int,
        draw: Callable[[random.Random], Row],
    ) -> None:
        self._settings = settings
        rng = random.Random(f"thin/{settings.seed}/{processes.rank()}")
        batches = (thin(reader, rows, pad_id, rng) for rows in _cuts(settings, draw, rng))
        self._batches = list(watching.prepared(batches, settings.bank_batches))
        self._short = sorted(
            range(len(self._batches)), key=lambda n: self._batches[n].hidden.shape[1]
        )[: max(1, len(self._batches) // 2)]

    def batch(self, step: int) -> Thin:
        """Every batch once, in another order each time; short ones alone in the first steps."""
        if step < self._settings.short_steps:
            order, step = self._short, step
        else:
            order, step = range(len(self._batches)), step - self._settings.short_steps
        turn, place = divmod(step, len(order))
        mixed = list(order)
        random.Random(f"order/{self._settings.seed}/{turn}").shuffle(mixed)
        return self._batches[mixed[place]]


def _cuts(
    settings: Settings, draw: Callable[[random.Random], Row], rng: random.Random
) -> Iterator[list[Row]]:
    """The rows of each batch of a bank, of about the same length."""
    for start in range(0, settings.bank_batches, HELD_IN_POOL):
        pool = min(HELD_IN_POOL, settings.bank_batches - start)
        rows = [draw(rng) for _ in range(pool * settings.batch_rows)]
        rows.sort(key=lambda row: len(row.encoded.ids))
        for first in range(0, len(rows), settings.batch_rows):
            yield rows[first : first + settings.batch_rows]


def step(learner: Learner, bank: ThinBank, settings: Settings, number: int) -> StepResult:
    """One step's loss: that of the answers, and of the help."""
    batch = bank.batch(number)
    with precision.autocast():
        losses = learner(batch)
    helped = sum((loss for name, loss in losses.items() if name != "answer"), torch.zeros(()))
    loss = losses["answer"] + settings.help_weight * helped
    return StepResult(loss, len(batch.hidden), {n: one.item() for n, one in losses.items()})
