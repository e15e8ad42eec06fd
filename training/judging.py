"""What one step of each stage of the reranker computes: prompts, what is right, and the loss."""

import random
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from colloquy.protocols import lamra as protocol
from colloquy.protocols.lamra import Content
from training.data import lamra
from training.data.judgements import Candidate, Judgement
from training.data.pairs import Query
from training.data.prompts import Example
from training.loop import StepResult
from training.recipe import RankRecipe
from training.taught import CROWD, KINDS, READS, Reading, TaughtJudge

NOT_ASKED = 0.2  # weight of a kind that is not asked for
PAIRS = 3.0  # weight of the comparison of all queries with all tokens
OTHERS = 64  # tokens beside which what is asked must win
FOUND = 5.0  # weight of a token that found something, where most find nothing


class Batch:
    """Judgements as prompts, and what is right about them.

    Attributes:
        is_right: (prompts,) of bool, row by row.
        candidates: per row.
    """

    def __init__(self, judge: TaughtJudge, drawn: Sequence[Judgement], rng: random.Random) -> None:
        self.drawn = drawn
        self.candidates: list[list[Candidate]] = []
        groups: list[list[Example]] = []
        right: list[bool] = []
        for judgement in drawn:
            candidates = [judgement.right, *judgement.wrong]
            rng.shuffle(candidates)
            query = lamra.query_content(judgement.query)
            self.candidates.append(candidates)
            is_right = [candidate is judgement.right for candidate in candidates]
            right += is_right
            groups.append(
                [
                    _asked(query, candidate, protocol.YES if yes else protocol.NO)
                    for candidate, yes in zip(candidates, is_right, strict=True)
                ]
            )
        self.is_right = torch.tensor(right)
        self.forest = judge.forest(groups)

    def wanted(self) -> tuple[Tensor, Tensor]:
        """(prompts, kinds) of bool, twice: what is asked for, and is told by the candidate."""
        asked, found = [], []
        for judgement, candidates in zip(self.drawn, self.candidates, strict=True):
            facets = judgement.query.facets
            looked = [[name for name in names if name in facets] for names in KINDS]
            for candidate in candidates:
                asked.append([bool(names) for names in looked])
                found.append([bool(names) and candidate.tells(facets, names) for names in looked])
        return torch.tensor(asked), torch.tensor(found)

    def spans(self, shown: Tensor) -> list[tuple[int, Tensor]]:
        """Row and tokens of each prompt's candidate."""
        branch = self.forest.branch
        return [
            (row, ((branch[row] == number) & shown[row]).nonzero()[:, 0])
            for row, candidates in enumerate(self.candidates)
            for number in range(1, len(candidates) + 1)
        ]


def read_step(
    judge: TaughtJudge, batch: Batch, more: Sequence[Query], rng: random.Random, *, compare: bool
) -> StepResult:
    """Reads judgements, and `more` queries whose prompts are short: a candidate says nothing.

    Args:
        compare: teach what the next layer will compare, too.
    """
    queries = [*(judgement.query for judgement in batch.drawn), *more]
    alone = [[_empty(one, listed=bool(n % 4 == 0))] for n, one in enumerate(more)]
    with torch.autocast("cpu", torch.bfloat16):
        reading = judge.read(batch.forest)
        asks, summary = reading.asks, reading.summary
        if alone:
            others = judge.read(judge.forest(alone))
            asks = [torch.cat(pair) for pair in zip(asks, others.asks, strict=True)]
            summary = torch.cat([summary, others.summary], 1)
    asked = torch.tensor([judge.values.asked(query.facets) for query in queries])
    entropy = nn.functional.cross_entropy
    ask_loss = torch.stack([entropy(logits, asked[:, n]) for n, logits in enumerate(asks)]).sum()
    told = torch.stack(
        [judge.values.told(one.told) for candidates in batch.candidates for one in candidates]
    )
    tells = _told(reading, batch)
    weights = torch.where(told > 0, 4.0, 1.0)
    losses = nn.functional.binary_cross_entropy_with_logits(tells, told, weights, reduction="none")
    told_loss = losses.sum(-1).mean() / 4
    shown = {
        "asks": ask_loss.item(),
        "tells": told_loss.item(),
        "ask_right": _share([logits.argmax(-1) for logits in asks], asked),
        "told_right": (tells > 0)[told > 0].float().mean().item(),
        "false_told": (tells > 0)[told == 0].float().mean().item() * told.shape[1],
        "leads": _leads(_met(judge, tells, batch), batch.is_right, len(batch.candidates[0])),
    }
    loss = ask_loss + told_loss
    if compare:
        wanted = torch.stack([judge.values.told([query.facets]) for query in queries])
        pair_loss, pair_shown = _pair_loss(judge, batch, reading, summary, told, wanted, rng)
        loss, shown = loss + pair_loss, shown | pair_shown
    return StepResult(loss, len(batch.drawn), shown)


def _pair_loss(
    judge: TaughtJudge,
    batch: Batch,
    reading: Reading,
    summary: Tensor,
    told: Tensor,
    wanted: Tensor,
    rng: random.Random,
) -> tuple[Tensor, dict[str, float]]:
    """Teaches numbers that are alike where any candidate's token tells what any query asks.

    Args:
        summary: (kinds, queries, codes). told: (prompts, values). wanted: (queries, values).
    """
    spans = batch.spans(reading.shown)
    seeks = torch.cat([reading.seeks[:, row, places] for row, places in spans], 1)
    owner = torch.cat([torch.full((len(places),), n) for n, (_, places) in enumerate(spans)])
    with torch.no_grad():
        sure = torch.cat([reading.tells[row, places] > 0 for row, places in spans])
        tells = sure.float() * told[owner]
    near = seeks @ summary.transpose(1, 2) - CROWD  # (kinds, tokens, queries)
    same = torch.stack([tells[:, own] @ wanted[:, own].T > 0 for own in judge.values.of_kind])
    met = torch.stack([told[:, own] @ wanted[:, own].T > 0 for own in judge.values.of_kind])
    # Tokens of which reading is not sure may tell it after all.
    unsure = met[:, owner] & ~same
    weights = torch.where(same, FOUND, torch.where(unsure, 0.1, 1.0))
    entropy = nn.functional.binary_cross_entropy_with_logits
    each = entropy(near, same.float(), weights)
    most = torch.full(met.shape, -CROWD).scatter_reduce(
        1, owner[None, :, None].expand(*near.shape[:1], -1, near.shape[2]), near, "amax",
        include_self=False,
    )  # fmt: skip
    best = entropy(most, met.float(), torch.where(met, 3.0, 1.0))
    # Nothing else must be looked at instead.
    everything = reading.sought[:, batch.forest.branch >= 0]
    others = everything[:, rng.sample(range(everything.shape[1]), OTHERS)]
    away = nn.functional.softplus(seeks @ others.transpose(1, 2)).mean()
    asked = torch.stack([wanted[:, own].any(-1) for own in judge.values.of_kind])[:, None]
    asked = asked.expand_as(met)
    shown = {
        "pair_found": (most > 0)[met].float().mean().item(),
        "pair_false": (most > 0)[asked & ~met].float().mean().item(),
    }
    return PAIRS * (each + best + 0.3 * away), shown


def _empty(query: Query, *, listed: bool) -> Example:
    asked = lamra.query_content(query)
    if listed:
        return lamra.listwise(asked, [[""]], "Ans: (1)")
    return lamra.pointwise(asked, [""], protocol.NO)


def _share(chosen: Sequence[Tensor], wanted: Tensor) -> float:
    """Of the facets that are asked for, how many are read rightly."""
    right = torch.stack(list(chosen), -1) == wanted
    return right[wanted > 0].float().mean().item()


def _told(reading: Reading, batch: Batch) -> Tensor:
    """(prompts, values): how surely any token of the candidate tells each value."""
    return torch.stack(
        [reading.tells[row, places].logsumexp(0) for row, places in batch.spans(reading.shown)]
    )


@torch.no_grad()
def _met(judge: TaughtJudge, tells: Tensor, batch: Batch) -> Tensor:
    """(prompts,): how surely all that is asked is told."""
    sure = nn.functional.logsigmoid(tells)
    each = len(batch.candidates[0])
    rows = []
    for number in range(len(tells)):
        asked = judge.values.numbers(batch.drawn[number // each].query.facets)
        rows.append(sure[number, list(chain.from_iterable(asked))].sum())
    return torch.stack(rows)


def _leads(scores: Tensor, right: Tensor, each: int) -> float:
    """How often the right candidate of each row comes first."""
    first = scores.view(-1, each).argmax(-1) == right.view(-1, each).int().argmax(-1)
    return first.float().mean().item()


def match_step(judge: TaughtJudge, batch: Batch) -> StepResult:
    """Teaches the layer above to look where reading finds what is asked."""
    states = judge.states(batch.forest)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            for _ in range(READS):
                hidden = next(states)
            reading = judge.reading(batch.forest, hidden)
        matching = judge.matching(batch.forest, hidden, next(states))
    wanted, asked = _matches(judge, batch, reading)
    shown = reading.shown
    weights = torch.where(wanted > 0, FOUND, torch.where(asked, 1.0, NOT_ASKED))[shown]
    losses = [
        nn.functional.binary_cross_entropy_with_logits(found[shown], wanted[shown], weights)
        for found in (matching.looks, matching.flags)
    ]
    spans = batch.spans(shown)
    found = torch.stack([matching.looks[row, places].amax(0) for row, places in spans])
    is_asked, is_found = batch.wanted()
    best = nn.functional.binary_cross_entropy_with_logits(
        found, is_found.float(), torch.where(is_asked, 1.0, NOT_ASKED)
    )
    sure = torch.where(is_asked, nn.functional.logsigmoid(found), 0.0).sum(-1)
    right = wanted[shown] > 0
    numbers = {
        "looks": losses[0].item(),
        "flags": losses[1].item(),
        "match_right": (matching.looks[shown] > 0)[right].float().mean().item(),
        "flag_right": (matching.flags[shown] > 0)[right].float().mean().item(),
        "look_right": ((found > 0) == is_found)[is_asked].float().mean().item(),
        "leads": _leads(sure, batch.is_right, len(batch.candidates[0])),
    }
    return StepResult(losses[0] + losses[1] + best, len(batch.drawn), numbers)


def _matches(judge: TaughtJudge, batch: Batch, reading: Reading) -> tuple[Tensor, Tensor]:
    """(rows, tokens, kinds), twice: where a token tells what is asked, and whether it is asked.

    A candidate that tells it has at least one such token, the surest.
    """
    wanted = torch.zeros(*batch.forest.ids.shape, len(KINDS))
    asked = torch.zeros_like(wanted, dtype=torch.bool)
    each = len(batch.candidates[0])
    _, found = batch.wanted()
    for number, (row, places) in enumerate(batch.spans(reading.shown)):
        facets = batch.drawn[number // each].query.facets
        for kind, values in enumerate(judge.values.numbers(facets)):
            asked[row, places, kind] = bool(values)
            if values and found[number, kind] and len(places):
                sure = reading.tells[row, places][:, values].amax(-1)
                tells = (sure > 0) | (sure == sure.max())
                wanted[row, places, kind] = tells.float()
    return wanted, asked


def judge_step(
    judge: TaughtJudge, batch: Batch, rng: random.Random, recipe: RankRecipe
) -> StepResult:
    """Teaches the answers, and what the last token must know for them."""
    lists = [[listwise(judgement, rng)] for judgement in batch.drawn[: recipe.batch_lists]]
    with torch.autocast("cpu", torch.bfloat16):
        told = judge.judged(batch.forest)
        loss = torch.zeros(())
        choice = torch.zeros(())
        if lists:
            listed, numbers = judge(lists)
            choice = nn.functional.cross_entropy(listed.float(), numbers)
    logits, targets = told.logits.float(), told.targets
    wants, labels = batch.wanted()
    point = _point_loss(judge, logits, targets, recipe.wrong)
    gathered = nn.functional.binary_cross_entropy_with_logits(told.asked, wants.float())
    looked_for = _look_loss(told.looks, labels, wants)
    first = (targets == judge.yes) | (targets == judge.no)
    lean = logits[first][:, judge.yes] - logits[first][:, judge.no]
    yes = batch.is_right
    shown = {
        "point": point.item(),
        "list": choice.item(),
        "asked": gathered.item(),
        "looks": looked_for.item(),
        "look_right": ((told.looks > np.log(0.5)) == labels)[wants].float().mean().item(),
        "yes_right": (lean[yes] > 0).float().mean().item(),
        "no_right": (lean[~yes] <= 0).float().mean().item(),
        "leads": _leads(lean, yes, len(batch.candidates[0])),
    }
    loss = point + recipe.list_weight * choice + recipe.help_weight * (gathered + looked_for)
    return StepResult(loss, len(batch.drawn), shown)


def _look_loss(looks: Tensor, found: Tensor, counted: Tensor) -> Tensor:
    """Cross entropy of a head's attention: to the candidate where it tells what the head seeks."""
    away = torch.log1p(-looks.exp().clamp(max=1 - 1e-4))
    losses = -torch.where(found, looks.clamp(min=-12.0), away)
    return losses[counted].mean()


def _asked(query: Content, candidate: Candidate, answer: str) -> Example:
    return lamra.pointwise(query, lamra.fragment_content(candidate.turns), answer)


def listwise(judgement: Judgement, rng: random.Random) -> Example:
    """Asks for the right one of some of the candidates."""
    wrong = rng.sample(judgement.wrong, rng.randint(1, len(judgement.wrong)))
    candidates = [judgement.right, *wrong]
    rng.shuffle(candidates)
    place = candidates.index(judgement.right) + 1
    contents = [lamra.fragment_content(candidate.turns) for candidate in candidates]
    return lamra.listwise(lamra.query_content(judgement.query), contents, f"Ans: ({place})")


def _point_loss(judge: TaughtJudge, logits: Tensor, targets: Tensor, wrong: int) -> Tensor:
    """Cross entropy in which the one right candidate weighs as much as the wrong ones."""
    losses = nn.functional.cross_entropy(logits, targets, reduction="none")
    weights = torch.ones_like(losses)
    weights[targets == judge.yes] = wrong
    ends = (targets != judge.yes) & (targets != judge.no)
    weights[ends] = 0.1  # the end of the answer is soon known
    return (losses * weights).sum() / weights.sum()
