"""Teaches a LoRA adapter to judge candidates: LamRA-Rank in small.

First the lowest layers learn to gather a query where the published prompt has no tag that ends
it: what the base knows at that tag, the token before the candidates comes to know. Then the
higher layers learn the answers, `Yes` or `No` for one candidate and `Ans: (2)` for a list, with
the help that taught the base to point: a candidate is one long line.
"""

import random
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from transformers import AutoProcessor

from training import base, checkpoint, loop, pointing, precision, processes, reading, whole
from training.adapters import lora
from training.data import judgements, lamra, roughened
from training.data.encode import Encoder
from training.data.judgements import Candidate, Judgement
from training.data.lamra_rows import LamraRows
from training.data.pairs import Query
from training.data.prompts import ASKED, DEFAULT_SYSTEM, Example
from training.data.rows import NOTHING, Block, Row, Rows, gather
from training.judge import Judge
from training.matching import MATCHES, UPPER
from training.origin import Origin
from training.pointing import Learner, ThinBank
from training.reading import READS, Reader
from training.recipe import RUNS, RankRecipe
from training.vision import GRID, MERGE

STAGES = ("gather", "judge")


def train(recipe: RankRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: RankRecipe) -> None:
    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    reader, rows, model, pad_id = reading.load(recipe.base, recipe.tokenizer)
    drawer = Drawer(rows, processor.tokenizer, recipe)
    # All layers but the one that writes numbers, which stay comparable.
    layers = rf"(?:[0-{READS - 1}]|{UPPER})"
    adapted: Any = get_peft_model(model, lora(recipe.rank, recipe.alpha, layers))
    # More steps of judging leave the gathering as it is.
    origins = {
        "gather": Origin.of(recipe, frozenset({"optimiser.steps"})), "judge": Origin.of(recipe)
    }  # fmt: skip
    for stage, origin in origins.items():
        checkpoint.require_same(folder / stage, origin)

    _teach(adapted, range(READS))
    gatherer = Gatherer(adapted, reader)
    loop.run(
        folder / "gather", gatherer, recipe.gather,
        lambda step: gatherer.step(drawer, step, pad_id), origin=origins["gather"],
    )  # fmt: skip
    bank = ThinBank(reader, recipe, pad_id, drawer.row)
    _teach(adapted, range(MATCHES, 99))
    learner = Learner(model)
    base.restore_heads(learner, RUNS / recipe.base)
    judge = Judge(adapted, processor)
    loop.run(
        folder / "judge", learner, recipe.optimiser,
        lambda step: pointing.step(learner, bank, recipe, step), origin=origins["judge"],
        evaluate=lambda: validate(judge, recipe.evaluate_queries),
        evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        whole.write_folder(folder / "model", adapted.save_pretrained)


def _teach(adapted: nn.Module, layers: range) -> None:
    """Lets the gradient reach the adapter's part of some layers, and nothing else."""
    for name, weight in adapted.named_parameters():
        number = int(name.split(".layers.")[1].split(".")[0]) if "lora_" in name else NOTHING
        weight.requires_grad_(number in layers)


class Drawer:
    """Makes what a step sees; what it draws depends on the given random numbers alone."""

    def __init__(self, rows: Rows, tokenizer: Any, recipe: RankRecipe) -> None:
        encoder = Encoder(tokenizer, GRID // MERGE)
        self._rows = LamraRows(encoder, tokenizer)
        self._tagged = rows
        self.recipe = recipe
        self._left: list[Row] = []

    def row(self, rng: random.Random) -> Row:
        """A candidate, or a list; those of one query follow each other."""
        if not self._left:
            judgement = _roughened(judgements.make_judgement(rng, self.recipe.wrong), rng)
            if rng.random() < self.recipe.lists:
                self._left = [self._rows.listwise(judgement, rng)]
            else:
                self._left = [
                    self._rows.pointwise(
                        judgement.query, candidate, meets=candidate is judgement.right
                    )
                    for candidate in (judgement.right, *judgement.wrong)
                ]
        return self._left.pop()

    def beginnings(self, rng: random.Random) -> tuple[list[Row], list[Row], list[Row]]:
        """Prompts up to their candidates, the same queries with their tag, and some candidates."""
        queries = [judgements.make_query(rng) for _ in range(self.recipe.gather_queries)]
        untagged = [
            self._rows.beginning(query, listed=number % 3 == 0)
            for number, query in enumerate(queries)
        ]
        tagged = [
            self._tagged.asked(
                Example(DEFAULT_SYSTEM, ASKED.format(query.text), "", (), "query"), query.facets
            )
            for query in queries
        ]
        judgement = judgements.make_judgement(rng, 3)
        shown = [
            self._rows.pointwise(judgement.query, candidate, meets=False)
            for candidate in (judgement.right, *judgement.wrong)
        ]
        return untagged, tagged, shown


def _roughened(judgement: Judgement, rng: random.Random) -> Judgement:
    """The query with words that mean nothing, as all that is read below."""
    query = judgement.query
    language = "en" if query.text.isascii() else "zh"
    text = roughened.text_of(query.text, language, rng, roughened.QUERIES)
    asked = Query(text, query.facets, query.picture)
    return Judgement(asked, judgement.right, judgement.wrong)


class Gatherer(nn.Module):
    """The lowest layers under the adapter, taught by themselves without it."""

    def __init__(self, adapted: Any, reader: Reader) -> None:
        super().__init__()
        self.adapted = adapted
        self._reader = reader

    def step(self, drawer: Drawer, number: int, pad_id: int) -> loop.StepResult:
        """Gathers a query before its candidates as at its tag, and reads these as before."""
        recipe = drawer.recipe
        rng = random.Random(f"rank/{recipe.seed}/gather/{number}/{processes.rank()}")
        untagged, tagged, shown = (gather(rows, pad_id) for rows in drawer.beginnings(rng))
        with precision.autocast():
            with torch.no_grad(), self.adapted.disable_adapter():
                wanted = _ends(self._states(tagged), tagged)
                before = self._states(shown)[shown.line_of != NOTHING]
            told = _ends(self._states(untagged), untagged)
            after = self._states(shown)[shown.line_of != NOTHING]
        gathered = _apart(told, wanted)
        kept = _apart(after, before)
        shown_numbers = {"gathered": gathered.item(), "kept": kept.item()}
        return loop.StepResult(gathered + kept, len(told), shown_numbers)

    def _states(self, block: Block) -> Tensor:
        layers = self._reader.layers
        hidden = layers.embed(block.ids, block.pictures)
        return layers.run(hidden, block.positions, 0, READS)[-1]


def _ends(states: Tensor, block: Block) -> Tensor:
    return states[torch.arange(len(states)), block.query_ends]


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean square of what differs, as a share of that of what is wanted."""
    return (found.float() - wanted.float()).pow(2).mean() / wanted.float().pow(2).mean()


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
        candidates: list[Candidate] = [judgement.right, *judgement.wrong]
        contents = [lamra.fragment_content(candidate.turns) for candidate in candidates]
        with precision.autocast():
            told = judge.p_yes(query, contents)
        yes_right += int(told[0] > 0.5)
        no_right += int((told[1:] <= 0.5).sum())
        leads += int(told.argmax() == 0)
        order = rng.sample(range(5), 5)
        place = order.index(0) + 1
        listed = lamra.listwise(query, [contents[n] for n in order], f"Ans: ({place})")
        with precision.autocast():
            logits, targets = judge([[listed]])
        chosen += int((logits.argmax(-1) == targets).all())
    return {
        "yes_right": round(yes_right / count, 4),
        "no_right": round(no_right / count / 4, 4),
        "leads_of_5": round(leads / count, 4),
        "list_right": round(chosen / count, 4),
    }
