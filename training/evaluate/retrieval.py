"""Ranks the fragments of the held-out corpus on the running stack, each method alone and together.

python -m training.evaluate.retrieval                      # the test split, against the gateway
python -m training.evaluate.retrieval --limit 60 --json
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from colloquy.contracts.fragments import FragmentSearchRequest
from colloquy.contracts.retrieval import BM25
from training.data.world.corpus import CorpusQuery
from training.evaluate import command
from training.evaluate.corpus_command import DEEPEST, Filled, add_corpus_arguments, breakdown
from training.evaluate.corpus_set import HeldOut
from training.evaluate.fragment import PATH
from training.evaluate.latency import milliseconds
from training.evaluate.retrieval_metrics import (
    Rank,
    Rule,
    first_relevant,
    recall_at,
    recall_difference,
    recalls,
)
from training.evaluate.retrieval_tables import show
from training.evaluate.stack import DEADLINE_MS, Ask, Reply

FUSED = "fused"
COMPARED = (1, 5, 20)


@dataclass(frozen=True, slots=True)
class System:
    """A way to rank.

    Attributes:
        methods: None takes all.
    """

    name: str
    methods: tuple[str, ...] | None = None
    rerank: Literal["none", "pointwise", "listwise"] = "none"


@dataclass(frozen=True, slots=True)
class Run:
    """What a system answered: for each query the place of the first relevant fragment."""

    system: System
    ranks: Mapping[Rule, Sequence[Rank]]
    replies: Sequence[Reply]

    def scored(self, at_once: int) -> dict[str, Any]:
        return {
            "half": recalls(self.ranks["half"]),
            "alike": recalls(self.ranks["alike"]),
            "degraded": sum(bool(reply.body["degraded"]) for reply in self.replies),
            "latency_ms": milliseconds([reply.seconds for reply in self.replies])
            | {"at_once": at_once},
        }

    def recalls_at(self, places: Sequence[int]) -> dict[str, float]:
        """The recall of these queries."""
        ranks = [self.ranks["half"][place] for place in places]
        return {f"recall@{k}": round(recall_at(ranks, k), 4) for k in (1, 5)}


def main(argv: Sequence[str] | None = None) -> int:
    parser = command.parser("training.evaluate.retrieval", str(__doc__).splitlines()[0])
    add_corpus_arguments(parser)
    parser.add_argument(
        "--rerank",
        choices=("none", "pointwise", "listwise"),
        nargs="*",
        default=["pointwise", "listwise"],
        help="rankings to measure beside retrieval",
    )
    return command.run(parser.parse_args(argv), evaluate, show)


async def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Fills the collection where needed, asks everything, and returns the whole record.

    Raises:
        ProfileError, CommandFailed, HashDiffers, StackFailed
    """
    return await evaluate_on(HeldOut.load(args.split), args)


async def evaluate_on(held_out: HeldOut, args: argparse.Namespace) -> dict[str, Any]:
    filled = await Filled.on_the_stack(held_out, args)
    spaces = [space["name"] for space in filled.collection["spaces"]]
    runs = [await _run(filled, system, args.candidates) for system in systems(spaces, args.rerank)]
    return filled.record(
        "retrieval",
        [reply for run in runs for reply in run.replies],
        candidates=args.candidates,
        systems={run.system.name: run.scored(args.concurrency) for run in runs},
        differences=differences(held_out, filled.queries, runs),
        by=breakdown(filled.queries, {run.system.name: run.recalls_at for run in runs}),
    )


def systems(spaces: Sequence[str], reranks: Sequence[str]) -> list[System]:
    """Each method alone, all fused, and the fused list reranked."""
    alone = [System(name, methods=(name,)) for name in (*spaces, BM25)]
    ranked = [
        System(f"{FUSED}, {mode}", rerank=mode)
        for mode in ("pointwise", "listwise")
        if mode in reranks
    ]
    return [*alone, System(FUSED), *ranked]


async def _run(filled: Filled, system: System, candidates: int) -> Run:
    collection, held_out = filled.collection["name"], filled.held_out
    asks = [Ask(f"query {query.text!r}", PATH, ask(query, collection, system, candidates))
            for query in filled.queries]  # fmt: skip
    replies = await filled.stack.ask_all(asks, label=system.name)
    answered = list(zip(filled.queries, replies, strict=True))
    ranks: dict[Rule, list[Rank]] = {
        rule: [first_relevant(held_out, q, reply.body["fragments"], rule) for q, reply in answered]
        for rule in ("half", "alike")
    }
    return Run(system, ranks, replies)


def ask(
    query: CorpusQuery, collection: str, system: System, candidates: int
) -> FragmentSearchRequest:
    return FragmentSearchRequest(
        query=query.text,
        collection=collection,
        methods=None if system.methods is None else list(system.methods),
        rerank=system.rerank,
        top_k=DEEPEST,
        candidates=max(candidates, DEEPEST),
        refine=False,
        merge=False,
        timeout_ms=DEADLINE_MS,
    )


def differences(
    held_out: HeldOut, queries: Sequence[CorpusQuery], runs: Sequence[Run]
) -> dict[str, dict[str, dict[str, float]]]:
    """Fused less each method alone, and each ranking less fused, at several depths."""
    clusters = [held_out.cluster(query) for query in queries]
    fused = next(run for run in runs if run.system.name == FUSED)
    pairs = [
        (run, fused) if run.system.rerank != "none" else (fused, run)
        for run in runs
        if run is not fused
    ]
    return {
        f"{one.system.name} less {other.system.name}": {
            f"recall@{k}": asdict(
                recall_difference(one.ranks["half"], other.ranks["half"], clusters, k)
            )
            for k in COMPARED
        }
        for one, other in pairs
    }


if __name__ == "__main__":
    raise SystemExit(main())
