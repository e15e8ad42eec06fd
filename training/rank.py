"""Teaches a LoRA adapter to judge candidates: LamRA-Rank in small.

Each query is asked about candidates one by one (`Yes` or `No`) and in a list (`Ans: (2)`). The
candidates of one query share its prompt's beginning, which is computed once: each candidate sees
the beginning and itself, at the positions it has alone.

The layers are taught from below (`training.taught`): first to read, then to match,
then to judge.
"""

import random
from pathlib import Path
from typing import Literal

import torch
from transformers import AutoProcessor

from training import checkpoint, loop, processes, whole
from training.data import judgements, lamra
from training.embed import fresh_reader
from training.judge import Judge
from training.judging import Batch, judge_step, listwise, match_step, read_step
from training.origin import Origin
from training.recipe import RUNS, RankRecipe
from training.taught import READS, TaughtJudge, Values

PICTURE_QUERIES = 0.06
Stage = Literal["read", "compare", "match", "judge"]


def train(recipe: RankRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: RankRecipe) -> None:
    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    processor = AutoProcessor.from_pretrained(RUNS / recipe.base / "model")
    model = fresh_reader(recipe.base, recipe.rank, recipe.alpha).model
    judge = TaughtJudge(model, processor, Values(judgements.pool().told()))
    top = judge.base.config.text_config.num_hidden_layers - 1

    reading, above = (0, READS - 1), (READS + 1, top)
    stages: dict[Stage, tuple[int, int]] = {
        "read": reading, "compare": reading, "match": (READS, READS), "judge": above
    }  # fmt: skip
    order = list(stages)
    # More steps of a stage leave those before it as they are, and not those after it.
    origins = {
        stage: Origin.of(recipe, frozenset(f"{later}.steps" for later in order[place:]))
        for place, stage in enumerate(order)
    }
    for stage, origin in origins.items():
        checkpoint.require_same(folder / stage, origin)
    for stage, (lowest, highest) in stages.items():
        judge.teach(lowest, highest)
        if stage == "match":
            judge.wire()

        def step_of(step: int, stage: Stage = stage) -> loop.StepResult:
            return _step(judge, stage, random.Random(_seed(recipe, stage, step)), recipe)

        loop.run(
            folder / stage, judge, getattr(recipe, stage), step_of,
            origin=origins[stage],
            evaluate=(lambda: validate(judge)) if stage == "judge" else None,
            evaluate_steps=recipe.evaluate_steps,
        )  # fmt: skip
    if processes.rank() == 0:
        whole.write_folder(folder / "model", judge.model.save_pretrained)


def _seed(recipe: RankRecipe, stage: Stage, step: int) -> str:
    return f"rank/{recipe.seed}/{stage}/{step}/{processes.rank()}"


def _step(
    judge: TaughtJudge, stage: Stage, rng: random.Random, recipe: RankRecipe
) -> loop.StepResult:
    reads = stage in ("read", "compare")
    drawn = [
        judgements.make_judgement(rng, recipe.wrong, pictures=PICTURE_QUERIES)
        for _ in range(recipe.read_samples if reads else recipe.batch_samples)
    ]
    batch = Batch(judge, drawn, rng)
    if reads:
        more = [
            judgements.make_query(rng, pictures=PICTURE_QUERIES) for _ in range(recipe.read_queries)
        ]
        return read_step(judge, batch, more, rng, compare=stage == "compare")
    if stage == "match":
        return match_step(judge, batch)
    return judge_step(judge, batch, rng, recipe)


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
        candidates = [
            lamra.fragment_content(candidate.turns)
            for candidate in (judgement.right, *judgement.wrong)
        ]
        with torch.autocast("cpu", torch.bfloat16):
            told = judge.p_yes(query, candidates)
        yes_right += int(told[0] > 0.5)
        no_right += int((told[1:] <= 0.5).sum())
        leads += int(told.argmax() == 0)
        with torch.autocast("cpu", torch.bfloat16):
            logits, targets = judge([[listwise(judgement, rng)]])
        chosen += int((logits.argmax(-1) == targets).all())
    judge.train()
    return {
        "yes_right": round(yes_right / count, 4),
        "no_right": round(no_right / count / 4, 4),
        "leads_of_5": round(leads / count, 4),
        "list_right": round(chosen / count, 4),
    }
