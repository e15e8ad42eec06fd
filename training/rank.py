"""Teaches a LoRA adapter to judge candidates: LamRA-Rank in small.

Each query is asked about candidates one by one (`Yes` or `No`) and in a list (`Ans: (2)`). The
candidates of one query share its prompt's beginning, which is computed once: each candidate sees
the beginning and itself, at the positions it has alone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from colloquy.protocols import lamra as protocol
from colloquy.protocols.lamra import Content
from training import loop
from training.data import judgements, lamra
from training.data.encode import IGNORED, Encoded, Encoder
from training.data.judgements import Judgement
from training.data.prompts import Example
from training.embed import fresh_reader, hidden_states
from training.recipe import RUNS, RankRecipe
from training.vision import GRID, MERGE

PICTURE_QUERIES = 0.08
STOP = "."  # ends a query
TAUGHT = range(2, 100)  # layers above the wired ones


@dataclass(frozen=True, slots=True)
class Forest:
    """Rows of a beginning and branches that see the beginning and themselves.

    Attributes:
        ids: (rows, tokens). positions: (3, rows, tokens).
        seen: (rows, 1, tokens, tokens) of bool, which token attends to which.
        targets: (rows, tokens), the next token or IGNORED.
    """

    ids: Tensor
    positions: Tensor
    seen: Tensor
    targets: Tensor
    pictures: list[Any]


class Judge(nn.Module):
    """A base with a LoRA adapter that answers LamRA-Rank's questions."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        tokenizer = processor.tokenizer
        self.model = model
        self.encoder = Encoder(tokenizer, GRID // MERGE)
        self._pad_id = int(tokenizer.pad_token_id)
        self._stop = int(tokenizer.convert_tokens_to_ids(STOP))
        self._tags = tokenizer.convert_tokens_to_ids(["<|query_start|>", "<|query_end|>"])
        self.yes, self.no = (int(tokenizer(word)["input_ids"][0]) for word in ("Yes", "No"))

    @property
    def base(self) -> Qwen2VLForConditionalGeneration:
        return self.model.get_base_model()  # type: ignore[no-any-return]

    def forward(self, groups: Sequence[Sequence[Example]]) -> tuple[Tensor, Tensor]:
        """Reads the answers' tokens.

        Args:
            groups: prompts with answers; those of a group begin alike.

        Returns:
            Logits (points, vocabulary) and targets (points,), row by row.
        """
        grown = [grow([self.encoder.encode(example) for example in group]) for group in groups]
        forest = gather(grown, self._pad_id)
        base = self.base
        hidden = hidden_states(
            base, forest.ids, forest.positions, forest.pictures, self.encoder.image_id, forest.seen
        )
        kept = forest.targets != IGNORED
        return base.lm_head(hidden[kept]), forest.targets[kept]

    def p_yes(self, query: Content, candidates: Sequence[Content]) -> Tensor:
        """(candidates,): how likely each meets the query."""
        group = [lamra.pointwise(query, candidate, protocol.YES) for candidate in candidates]
        logits, targets = self([group])
        first = logits[targets == self.yes].float()
        return torch.softmax(first[:, [self.yes, self.no]], dim=-1)[:, 0]

    def mark_loss(self, groups: Sequence[Sequence[Example]]) -> Tensor:
        """How far layer 0 is from what it would be with the base's own tags around the query.

        The base's wired heads compare what is being said with what stands before its tag, and the
        published prompts have none: the adapter's lowest layer learns to read stops as the tags.
        """
        language = self.base.model.language_model
        forest = gather([grow([self.encoder.encode(group[0])]) for group in groups], self._pad_id)
        rotary = language.rotary_emb(language.embed_tokens(forest.ids), forest.positions)

        def lowest(ids: Tensor) -> Tensor:
            embedded = language.embed_tokens(ids)
            out: Tensor = language.layers[0](
                embedded, attention_mask=None, position_embeddings=rotary
            )
            return out.float()

        with torch.no_grad(), self.model.disable_adapter():
            wanted = lowest(self._tagged(forest.ids))
        missed = (lowest(forest.ids) - wanted).pow(2)
        return missed.mean() + missed[forest.ids == self._stop].mean()

    def _tagged(self, ids: Tensor) -> Tensor:
        """The ids with the query's last stop and its instruction's replaced by the base's tags."""
        tagged = ids.clone()
        for row in tagged:
            stops = (row == self._stop).nonzero()[:, 0]
            row[stops[-2]], row[stops[-1]] = self._tags
        return tagged

    def teach(self, lowest: bool) -> None:
        """Lets the gradient reach the adapter's lowest layer alone, or the layers of `TAUGHT`."""
        for name, weight in self.model.named_parameters():
            if "lora_" in name:
                layer = int(name.split(".layers.")[1].split(".")[0])
                weight.requires_grad_(layer == 0 if lowest else layer in TAUGHT)


def grow(rows: Sequence[Encoded]) -> tuple[Encoded, list[int]]:
    """Joins prompts of one beginning: it comes once, the rest of each follows.

    Returns:
        The joined row, its pictures in the order of their tokens, and for each token its branch
        from 1, the beginning being 0.
    """
    shortest = min(len(row.ids) for row in rows)
    same = shortest if len(rows) == 1 else 0
    while same < shortest and all(row.ids[same] == rows[0].ids[same] for row in rows):
        same += 1
    head = rows[0]
    pictures_at_head = _pictures_before(rows, same)
    joined = Encoded(
        ids=np.concatenate([head.ids[:same], *(row.ids[same:] for row in rows)]),
        answer=np.concatenate([head.answer[:same], *(row.answer[same:] for row in rows)]),
        body=head.body[:0],
        positions=np.concatenate(
            [head.positions[:, :same], *(row.positions[:, same:] for row in rows)], axis=1
        ),
        line_ends=head.line_ends,
        lines=head.lines,
        pictures=(
            *head.pictures[:pictures_at_head],
            *(spec for row in rows for spec in row.pictures[pictures_at_head:]),
        ),
        kind=head.kind,
        asks=(),
    )
    branches = [0] * same
    for number, row in enumerate(rows, 1):
        branches += [number] * (len(row.ids) - same)
    return joined, branches


def _pictures_before(rows: Sequence[Encoded], same: int) -> int:
    """How many pictures the common beginning shows; none is cut in two."""
    shown = 0
    for specs in zip(*(row.pictures for row in rows), strict=False):
        if any(spec != specs[0] for spec in specs):
            break
        shown += 1
    return shown if same else 0


def gather(grown: Sequence[tuple[Encoded, list[int]]], pad_id: int) -> Forest:
    """Pads rows on the right."""
    longest = max(len(branches) for _, branches in grown)
    count = len(grown)
    ids = torch.full((count, longest), pad_id)
    positions = torch.zeros((3, count, longest), dtype=torch.long)
    targets = torch.full((count, longest), IGNORED)
    branch = torch.full((count, longest), -1)
    for number, (row, branches) in enumerate(grown):
        size = len(branches)
        ids[number, :size] = torch.from_numpy(row.ids)
        positions[:, number, :size] = torch.from_numpy(row.positions)
        branch[number, :size] = torch.tensor(branches)
        answer = torch.from_numpy(row.answer)
        targets[number, : size - 1] = torch.where(answer[1:], ids[number, 1:size], IGNORED)
    causal = torch.ones(longest, longest).tril().bool()
    own = branch[:, :, None] == branch[:, None, :]
    seen = causal & (own | (branch[:, None, :] == 0))
    pictures = [spec for row, _ in grown for spec in row.pictures]
    return Forest(ids, positions, seen[:, None], targets, pictures)


def train(recipe: RankRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    judge = _start(recipe)

    def step_of(step: int) -> loop.StepResult:
        rng = random.Random(f"rank/{recipe.seed}/{step}")
        bent = 0.0 if step < recipe.easy_steps else judgements.BENT
        drawn = [
            judgements.make_judgement(rng, recipe.wrong, pictures=PICTURE_QUERIES, bent=bent)
            for _ in range(recipe.batch_samples)
        ]
        groups = [_pointwise(judgement, rng) for judgement in drawn]
        judge.teach(lowest=step < recipe.mark_steps)
        if step < recipe.mark_steps:
            with torch.autocast("cpu", torch.bfloat16):
                loss = judge.mark_loss(groups)
            return loop.StepResult(loss, len(drawn))
        lists = [[_listwise(judgement, rng)] for judgement in drawn[: recipe.batch_lists]]
        with torch.autocast("cpu", torch.bfloat16):
            logits, targets = judge(groups)
            listed, numbers = judge(lists)
        point = _point_loss(judge, logits.float(), targets, recipe.wrong)
        choice = nn.functional.cross_entropy(listed.float(), numbers)
        first = (targets == judge.yes) | (targets == judge.no)
        told = logits[first][:, judge.yes] > logits[first][:, judge.no]
        right = (told == (targets[first] == judge.yes)).float()
        yes = targets[first] == judge.yes
        shown = {
            "point": point.item(),
            "list": choice.item(),
            "yes_right": right[yes].mean().item(),
            "no_right": right[~yes].mean().item(),
        }
        return loop.StepResult(point + recipe.list_weight * choice, len(drawn), shown)

    loop.run(
        folder, judge, recipe.optimiser, step_of,
        evaluate=lambda: validate(judge), evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    judge.model.save_pretrained(folder / "model")
    return folder / "model"


def _start(recipe: RankRecipe) -> Judge:
    processor = AutoProcessor.from_pretrained(RUNS / recipe.base / "model")
    if recipe.start is None:
        return Judge(fresh_reader(recipe.base, recipe.rank, recipe.alpha).model, processor)
    base = Qwen2VLForConditionalGeneration.from_pretrained(
        RUNS / recipe.base / "model", dtype=torch.float32
    )
    start = str(RUNS / recipe.start / "model")
    return Judge(PeftModel.from_pretrained(base, start, is_trainable=True), processor)


def _pointwise(judgement: Judgement, rng: random.Random) -> list[Example]:
    query = lamra.query_content(judgement.query)
    group = [lamra.pointwise(query, lamra.fragment_content(judgement.right), protocol.YES)]
    group += [
        lamra.pointwise(query, lamra.fragment_content(turns), protocol.NO)
        for turns in judgement.wrong
    ]
    rng.shuffle(group)
    return group


def _listwise(judgement: Judgement, rng: random.Random) -> Example:
    wrong = rng.sample(judgement.wrong, rng.randint(1, len(judgement.wrong)))
    candidates = [judgement.right, *wrong]
    rng.shuffle(candidates)
    place = candidates.index(judgement.right) + 1
    contents = [lamra.fragment_content(turns) for turns in candidates]
    return lamra.listwise(lamra.query_content(judgement.query), contents, f"Ans: ({place})")


def _point_loss(judge: Judge, logits: Tensor, targets: Tensor, wrong: int) -> Tensor:
    """Cross entropy in which the one right candidate weighs as much as the wrong ones."""
    losses = nn.functional.cross_entropy(logits, targets, reduction="none")
    weights = torch.ones_like(losses)
    weights[targets == judge.yes] = wrong
    ends = (targets != judge.yes) & (targets != judge.no)
    weights[ends] = 0.1  # the end of the answer is soon known
    return (losses * weights).sum() / weights.sum()


@torch.no_grad()
def validate(judge: Judge, count: int = 60) -> dict[str, float]:
    """Accuracy on fresh judgements, half of a balanced choice; and how often the right one leads.

    The facts are of the training split, in dialogues that no step draws.
    """
    rng = random.Random("rank/validation")
    yes_right = no_right = leads = chosen = 0
    judge.eval()
    for _ in range(count):
        judgement = judgements.make_judgement(rng, 4)
        query = lamra.query_content(judgement.query)
        candidates = [judgement.right, *judgement.wrong]
        with torch.autocast("cpu", torch.bfloat16):
            told = judge.p_yes(query, [lamra.fragment_content(turns) for turns in candidates])
        yes_right += int(told[0] > 0.5)
        no_right += int((told[1:] <= 0.5).sum())
        leads += int(told.argmax() == 0)
        with torch.autocast("cpu", torch.bfloat16):
            logits, targets = judge([[_listwise(judgement, rng)]])
        chosen += int((logits.argmax(-1) == targets).all())
    judge.train()
    return {
        "yes_right": round(yes_right / count, 4),
        "no_right": round(no_right / count / 4, 4),
        "leads_of_5": round(leads / count, 4),
        "list_right": round(chosen / count, 4),
    }
