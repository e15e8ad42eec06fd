"""Measures the running stack on M-BEIR files as LamRA's released evaluation does: Recall@k over the
local and the global pool, retrieved and, where asked for, reranked.

python -m training.evaluate.mbeir data/M-BEIR --task mscoco_task0
python -m training.evaluate.mbeir data/M-BEIR --pool both --rerank --json
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from colloquy.protocols import lamra
from training.evaluate import command
from training.evaluate.mbeir_files import (
    BadFile,
    Candidate,
    Query,
    Task,
    local_pool,
    read_pool,
    read_task,
    task_names,
    union_pool,
)
from training.evaluate.mbeir_stack import Models, Vectors
from training.evaluate.mbeir_tables import show
from training.evaluate.provenance import provenance
from training.evaluate.retrieval_metrics import first_of, recalls
from training.evaluate.stack import StackFailed
from training.evaluate.standing import Standing

RETRIEVED_KS = (1, 5, 10, 50)
RERANKED_KS = (1, 5, 10, 20)
TOP = 50
"""Candidates that are kept for each query, and reranked."""


@dataclass(frozen=True)
class Pool:
    """Candidates with their vectors.

    Attributes:
        vectors: (candidates, dimensions), of length 1.
    """

    kind: str
    candidates: Sequence[Candidate]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best of a pool for one query, best first."""

    places: Sequence[int]
    cosines: Sequence[float]


def main(argv: Sequence[str] | None = None) -> int:
    about = str(__doc__).split("\n\n")[0]
    parser = command.parser("training.evaluate.mbeir", about, splits=False)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="M-BEIR's, as published")
    parser.add_argument("--task", action="append", help="`mscoco_task0`; default: all there are")
    parser.add_argument("--pool", choices=("local", "global", "both"), default="local")
    parser.add_argument("--space", help="to embed in; default: the stack's first")
    parser.add_argument("--rerank", action="store_true", help="the best 50, pointwise")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of instructions")
    return command.run(parser.parse_args(argv), evaluate, show)


async def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Embeds, ranks and counts; returns the whole record.

    Raises:
        ProfileError, CommandFailed, StackFailed: with file, line and field of what is wrong.
    """
    standing = Standing.of(args)
    models = Models(standing.stack(args.concurrency), args.space)
    try:
        names = args.task or task_names(args.folder)
        tasks = [read_task(args.folder, n, limit=args.limit, seed=args.seed) for n in names]
        results = await _measured(models, tasks, args)
    except BadFile as failure:
        raise StackFailed(str(failure)) from failure
    return {
        "task": "mbeir",
        "command": "python -m training.evaluate.mbeir",
        "profile": standing.profile.name,
        "models": models.seen,
        "seed": args.seed,
        "limited": args.limit,
        "tasks": results,
        "made_by": provenance(),
    }


async def _measured(
    models: Models, tasks: Sequence[Task], args: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    known: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    everything = None
    if args.pool != "local":
        everything = await _pool(models, "global", _global(args.folder, tasks), known)
    results: dict[str, dict[str, Any]] = {}
    for task in tasks:
        asked = [(f"query {query.qid}", query.side) for query in task.queries]
        queries = await models.embed(asked, f"{task.name}: queries")
        pools = [] if everything is None else [everything]
        if args.pool != "global":
            pools.insert(0, await _pool(models, "local", task.pool, known))
        results[task.name] = {
            "queries": len(task.queries),
            "headline": f"recall@{headline_k(task.name)}",
            **{
                pool.kind: await _scored(models, task, pool, queries, rerank=args.rerank)
                for pool in pools
            },
        }
    return results


async def _pool(
    models: Models, kind: str, candidates: Sequence[Candidate], known: dict[str, Any]
) -> Pool:
    """Embeds what no earlier pool had."""
    new = [one for one in candidates if one.did not in known]
    if new:
        sides = [(f"candidate {one.did}", one.side) for one in new]
        vectors = await models.embed(sides, f"{kind} pool")
        known |= {one.did: vector for one, vector in zip(new, vectors, strict=True)}
    return Pool(kind, candidates, np.stack([known[one.did] for one in candidates]))


def _global(folder: Path, tasks: Sequence[Task]) -> list[Candidate]:
    """The union that is published, or, as upstream, all local pools one after the other."""
    union = union_pool(folder)
    if union is not None:
        return read_pool(folder, union)
    pools = {task.name: task.pool for task in tasks}
    every = [
        one
        for name in task_names(folder)
        for one in pools.get(name) or read_pool(folder, local_pool(folder, name))
    ]
    return list({one.did: one for one in every}.values())


async def _scored(
    models: Models, task: Task, pool: Pool, queries: Vectors, *, rerank: bool
) -> dict[str, Any]:
    ranked = [nearest(vector, pool.vectors) for vector in queries]
    found: dict[str, Any] = {
        "candidates": len(pool.candidates),
        "retrieved": _recalls(task, pool, [one.places for one in ranked], RETRIEVED_KS),
    }
    if rerank:
        asked: list[tuple[Query, list[Candidate]]] = [
            (query, [pool.candidates[place] for place in one.places])
            for query, one in zip(task.queries, ranked, strict=True)
        ]
        yes = await models.rank(asked, f"{task.name}: reranking")
        weight = lamra_weight(task.name)
        ordered = [fused_order(one, row, weight) for one, row in zip(ranked, yes, strict=True)]
        found["weight"] = weight
        found["reranked"] = _recalls(task, pool, ordered, RERANKED_KS)
    return found


def nearest(query: Vectors, pool: Vectors, top: int = TOP) -> Ranked:
    """The best of a pool by exact dot product; of equals the first."""
    cosines = pool @ query
    places = np.argsort(-cosines, kind="stable")[:top]
    return Ranked([int(p) for p in places], [float(cosines[p]) for p in places])


def fused_order(ranked: Ranked, yes: Sequence[float], weight: float) -> list[int]:
    """Places of the pool by the cosine and `weight` times P(Yes); of equals the nearer."""
    final = [lamra.fused(cosine, p, weight) for cosine, p in zip(ranked.cosines, yes, strict=True)]
    order = sorted(range(len(final)), key=lambda place: -final[place])
    return [ranked.places[place] for place in order]


def lamra_weight(task: str) -> float:
    """The published weight of P(Yes) for a task."""
    if "mscoco" not in task:
        return 1.0
    return 0.5 if "mscoco_task0" in task else 0.1


def headline_k(task: str) -> int:
    """What is reported of a task: Recall@10 of FashionIQ and Fashion200K, else Recall@5."""
    return 10 if task.startswith(("fashioniq", "fashion200k")) else 5


def _recalls(
    task: Task, pool: Pool, ranked: Sequence[Sequence[int]], ks: Sequence[int]
) -> Mapping[str, float]:
    ranks = [
        first_of(set(task.relevant[query.qid]), [pool.candidates[place].did for place in places])
        for query, places in zip(task.queries, ranked, strict=True)
    ]
    return recalls(ranks, ks)


if __name__ == "__main__":
    raise SystemExit(main())
