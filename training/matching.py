"""Teaches the comparison of what is told with what is asked.

The layer above reading writes numbers, and the heads of the next compare them: each head for one
kind of fact looks from a word that tells something to the end of a query that asks for it. They
are learnt from all pairs of words and queries out of a bank that is read once, which takes
minutes where whole dialogues took hours. Two heads of the layer above compare words with words,
so that lines which tell the same are known to belong together.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import loop, precision, processes, reading, watching
from training.data.rows import NOTHING, Block, Rows, gather
from training.data.world import splits
from training.layers import Layers
from training.origin import Origin
from training.reading import READS, Read, Reader
from training.recipe import RUNS, MatchingRecipe
from training.values import KINDS, Values
from training.vision import save

WRITES = READS  # the layer that writes numbers
MATCHES = READS + 1  # the layer whose heads compare with the query
UPPER = rf"[{MATCHES}-9]"  # the numbers of the layers that adapters teach, as an expression
SAMES = READS + 2  # the layer two of whose heads compare lines
SAME_KINDS = {4: 0, 5: 1}  # by head of that layer
CODE = 24  # numbers of a head that hardly turn within a dialogue, in which it compares
CROWD = 5.5  # what a look must win over: some hundred words that nothing looks for
CODE_SIZE = 8.0  # of a fact's code to begin with; with small ones hardly anything is found
KEEN = 1.0  # of the numbers that heads between words begin with
SPREAD_STEPS = 300
RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Bank:
    """Words of dialogues and ends of queries, read.

    Attributes:
        words: (words, width). tells: (words, values) of bool, what each is known to tell.
        queries: (queries, width). asks: (queries, values) of bool.
    """

    words: Tensor
    tells: Tensor
    queries: Tensor
    asks: Tensor


class Comparer(nn.Module):
    """The layers that write numbers and compare them; nothing else is taught."""

    def __init__(self, model: Qwen2VLForConditionalGeneration, values: Values) -> None:
        super().__init__()
        self.values = values
        layers = Layers(model, 0)
        stack = layers.language.layers
        self.numbers = stack[WRITES].mlp
        self.before = stack[WRITES].post_attention_layernorm
        self.match_norm, self.same_norm = (stack[n].input_layernorm for n in (MATCHES, SAMES))
        self.match_query, self.match_key = (
            getattr(stack[MATCHES].self_attn, name) for name in ("q_proj", "k_proj")
        )
        self.same_query, self.same_key = (
            getattr(stack[SAMES].self_attn, name) for name in ("q_proj", "k_proj")
        )
        self.still = stack[WRITES].self_attn.o_proj
        self.head = layers.head_width
        self._slow = slow_numbers(self.head)

    @torch.no_grad()
    def prepare(self) -> None:
        """Begins anew: no attention where numbers are written, and nothing compared."""
        self.still.weight.zero_()
        for linear, heads in self._compared():
            for head in heads:
                rows = slice(head * self.head, (head + 1) * self.head)
                linear.weight[rows] = 0.0
                linear.bias[rows] = 0.0
        # Between words codes that fit too well at once are all given up, and none is found again.
        for linear in (self.same_query, self.same_key):
            width = linear.weight.shape[1]
            for head in SAME_KINDS:
                rows_of_code = self._rows(head)
                drawn = torch.randn(len(rows_of_code), width)
                linear.weight[rows_of_code] = drawn * KEEN / math.sqrt(width)

    @torch.no_grad()
    def fit(self, bank: "Bank", generator: torch.Generator) -> None:
        """Begins where least squares end: each head gives a fact's code for who tells or asks it.

        From small random weights the heads needed most of the run to tell two facts apart at all.
        """
        words, queries = self.write(bank.words), self.write(bank.queries)
        told, asked = self.match_norm(words), self.match_norm(queries)
        codes = [
            spread_codes(own.stop - own.start, len(self._slow), generator)
            for own in self.values.of_kind
        ]
        for kind, own in enumerate(self.values.of_kind):
            code = codes[kind] * CODE_SIZE
            self._fit(self.match_query, kind, told, bank.tells[:, own], code)
            self._fit(self.match_key, kind, asked, bank.asks[:, own], code)

    def _fit(
        self, linear: nn.Linear, head: int, states: Tensor, facts: Tensor, codes: Tensor
    ) -> None:
        """Sets a head's rows: who has a fact and who has none weigh the same in all."""
        has = facts.any(1)
        share = has.float().mean().clamp(1e-6, 1 - 1e-6)
        weights = torch.where(has, 0.5 / share, 0.5 / (1 - share))[:, None]
        inputs = torch.cat([states, torch.ones(len(states), 1)], 1)
        size = inputs.shape[1]
        squares = (inputs * weights).T @ inputs + RIDGE * len(states) * torch.eye(size)
        found = torch.linalg.solve(squares, (inputs * weights).T @ (facts.float() @ codes))
        rows = self._rows(head)
        linear.weight[rows] = found[:-1].T
        linear.bias[rows] = found[-1]

    def _rows(self, head: int) -> Tensor:
        """The rows of a map that give a head's code."""
        return torch.tensor([head * self.head + place for place in self._slow])

    def _compared(self) -> list[tuple[nn.Linear, Sequence[int]]]:
        """The maps whose heads compare, and which of them do."""
        match, same = range(len(KINDS)), list(SAME_KINDS)
        return [
            (self.match_query, match), (self.match_key, match),
            (self.same_query, same), (self.same_key, same),
        ]  # fmt: skip

    def hold(self) -> None:
        """Keeps what the heads do not compare as it is."""
        for linear, heads in self._compared():
            free = torch.zeros(linear.weight.shape[0])
            for head in heads:
                free[self._rows(head)] = 1.0
            linear.weight.register_hook(lambda gradient, f=free: gradient * f[:, None])
            linear.bias.register_hook(lambda gradient, f=free: gradient * f)

    def write(self, words: Tensor) -> Tensor:
        """(…, width): states with their numbers."""
        return words + self.numbers(self.before(words))

    def near_queries(self, words: Tensor, keys: Tensor) -> Tensor:
        """(kinds, words, keys): how strongly each word looks for each key."""
        seeks = self._parts(self.match_query(self.match_norm(words)))[:, : len(KINDS)]
        sought = self._parts(self.match_key(self.match_norm(keys)))[:, : len(KINDS)]
        return torch.einsum("nhd,mhd->hnm", seeks, sought) / math.sqrt(self.head)

    def near_words(self, words: Tensor) -> Tensor:
        """(same kinds, words, words)."""
        heads = list(SAME_KINDS)
        seeks = self._parts(self.same_query(self.same_norm(words)))[:, heads]
        sought = self._parts(self.same_key(self.same_norm(words)))[:, heads]
        return torch.einsum("nhd,mhd->hnm", seeks, sought) / math.sqrt(self.head)

    def _parts(self, states: Tensor) -> Tensor:
        return states.view(len(states), -1, self.head)


def slow_numbers(head: int) -> list[int]:
    """The places of a head's slowest turning numbers."""
    half, pairs = head // 2, min(CODE, head) // 2
    return [*range(half - pairs, half), *range(head - pairs, head)]


def spread_codes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, size): directions of length 1 that are as unlike as they can be."""
    codes = nn.functional.normalize(torch.randn(count, size, generator=generator), dim=1)
    for _ in range(SPREAD_STEPS):
        near = codes @ codes.T - torch.eye(count)
        codes = nn.functional.normalize(codes - near.pow(3) @ codes, dim=1)
    return codes


def common(tells: Tensor, asks: Tensor, values: Values) -> Tensor:
    """(kinds, words, queries) of 0 and 1: whether a word tells a value that a query asks for."""
    return torch.stack(
        [(tells[:, own].float() @ asks[:, own].float().T > 0).float() for own in values.of_kind]
    )


def train(recipe: MatchingRecipe) -> Path:
    """Trains and saves the base so far; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: MatchingRecipe) -> None:
    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    reader, rows, model, pad_id = reading.load(recipe.reading, recipe.tokenizer)
    comparer = Comparer(model, reader.values)
    comparer.prepare()
    rng = random.Random(f"matching/{recipe.seed}/{processes.rank()}")
    bank = fill(reader, rows, rng, recipe.bank_dialogues, recipe.bank_queries, pad_id)
    comparer.fit(bank, torch.Generator().manual_seed(recipe.seed))
    processes.agree(comparer)
    comparer.hold()
    held_out = fill(
        reader, rows, random.Random("matching/validation"), 60, 200, pad_id, split="validation"
    )  # fmt: skip

    def step_of(step: int) -> loop.StepResult:
        drawn = random.Random(f"matching/{recipe.seed}/{step}/{processes.rank()}")
        words = torch.tensor(drawn.sample(range(len(bank.words)), recipe.batch_words))
        queries = torch.tensor(drawn.sample(range(len(bank.queries)), recipe.batch_queries))
        with precision.autocast():
            told = comparer.write(bank.words[words])
            asked = comparer.write(bank.queries[queries])
            near = comparer.near_queries(told, torch.cat([asked, told[: recipe.batch_queries]]))
            same = comparer.near_words(told)
        truth = common(bank.tells[words], bank.asks[queries], comparer.values)
        # Nothing that a dialogue tells is taken for a query.
        truth = torch.cat([truth, torch.zeros(*truth.shape[:2], recipe.batch_queries)], -1)
        match, found = _loss(near.float(), truth)
        alike, _ = _loss(same.float(), _same(bank.tells[words], comparer.values))
        shown = {"match": match.item(), "same": alike.item(), "found": found}
        return loop.StepResult(match + 0.5 * alike, len(words), shown)

    loop.run(
        folder, comparer, recipe.optimiser, step_of, origin=Origin.of(recipe),
        evaluate=lambda: evaluate(comparer, held_out), evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        reading.keep_heads(reader, folder)
        processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
        # What is below is not taught again, and is served in bf16.
        save(model.to(torch.bfloat16), processor, folder / "model")


def _loss(near: Tensor, truth: Tensor) -> tuple[Tensor, float]:
    """Binary loss per true pair, and the share of true pairs that win over a crowd.

    The mean over the kinds: most true pairs are of events, which are few and often told.

    Args:
        near, truth: (kinds, words, words or queries).
    """
    logits = near - CROWD
    loss = nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    by_kind = loss.sum((1, 2)) / truth.sum((1, 2)).clamp(min=1)
    return by_kind.mean(), (logits[truth > 0] > 0).float().mean().item()


def _same(tells: Tensor, values: Values) -> Tensor:
    """(same kinds, words, words) of 0 and 1: whether two words tell a value of the kind alike."""
    every = common(tells, tells, values)
    return torch.stack([every[kind] for kind in SAME_KINDS.values()])


@torch.no_grad()
def evaluate(comparer: Comparer, bank: Bank) -> dict[str, float]:
    """F1 over all pairs of held-out words and queries, and over words that tell the same."""
    with precision.autocast():
        told, asked = comparer.write(bank.words), comparer.write(bank.queries)
        near = comparer.near_queries(told, asked).float() > CROWD
        same = comparer.near_words(told[:1500]).float() > CROWD
    truth = common(bank.tells, bank.asks, comparer.values) > 0
    scores = {"asked_f1": _f1(near, truth)}
    scores["same_f1"] = _f1(same, _same(bank.tells[:1500], comparer.values) > 0)
    for number, kind in enumerate(KINDS):
        scores[kind[0]] = _f1(near[number], truth[number])
    return scores


def _f1(said: Tensor, truth: Tensor) -> float:
    hits = (said & truth).sum().item()
    return 2 * hits / max(1, said.sum().item() + truth.sum().item())


@torch.no_grad()
def fill(
    reader: Reader,
    rows: Rows,
    rng: random.Random,
    dialogues: int,
    queries: int,
    pad_id: int,
    *,
    split: splits.Split = "train",
    at_once: int = 20,
) -> Bank:
    """Reads dialogues and queries, and keeps words that tell something and some that do not."""
    words, tells, ends, asks = [], [], [], []
    parts = range(0, max(dialogues, queries // 4), at_once)
    for start in watching.prepared(parts, len(parts)):
        drawn = []
        for _ in range(at_once if start < dialogues else 0):
            sample = splits.sample(split, rng.randrange(splits.DIALOGUES[split]), queries=1)
            drawn.append(rows.exercise("find", sample, rng, rough=split == "train"))
        alone = [rows.query(split, rng, rough=split == "train") for _ in range(4 * at_once)]
        for block in (gather(made, pad_id) for made in (drawn, alone) if made):
            with precision.autocast():
                read = reader(block)
            told = telling(reader, read, block)
            others = (torch.rand(told.shape[:2]) < 0.1) & (block.ids != pad_id)
            kept = told.any(-1) | others
            words.append(read.hidden[kept].float())
            tells.append(told[kept])
            asked = torch.tensor([row.query_end != NOTHING for row in block.rows])
            ends.append(read.hidden[asked, block.query_ends[asked]].float())
            asks += [reader.values.told([row.asked]) > 0 for row in block.rows if row.asked]
    return Bank(torch.cat(words), torch.cat(tells), torch.cat(ends), torch.stack(asks))


def telling(reader: Reader, read: Read, block: Block) -> Tensor:
    """(rows, tokens, values) of bool: which tokens are taken to tell what their line tells.

    Those that are sure of it, and for every fact the surest of its line.
    """
    found = torch.zeros(read.tells.shape, dtype=torch.bool)
    for number, row in enumerate(block.rows):
        for line, told in enumerate(row.told):
            known = reader.values.told(told).nonzero()[:, 0]
            if not len(known):
                continue
            first, last = row.encoded.line_starts[line], row.encoded.line_ends[line] + 1
            logits = read.tells[number, first:last][:, known]
            sure = logits > 0
            sure[logits.argmax(0), torch.arange(len(known))] = True
            found[number, first:last][:, known] = sure
    return found
