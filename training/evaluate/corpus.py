"""Searches the held-out corpus on the running stack from end to end, and scores what is answered.

python -m training.evaluate.corpus                      # the test split, against the gateway
python -m training.evaluate.corpus --limit 60 --json
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from colloquy.contracts.fragments import FragmentSearchRequest
from training.data.world.corpus import CorpusQuery
from training.evaluate import command
from training.evaluate.bootstrap import joint_f1_difference
from training.evaluate.comparison import scored
from training.evaluate.corpus_command import Filled, add_corpus_arguments, breakdown
from training.evaluate.corpus_set import Found, HeldOut
from training.evaluate.corpus_tables import show
from training.evaluate.fragment import PATH
from training.evaluate.fragment_metrics import Judged, micro
from training.evaluate.latency import milliseconds
from training.evaluate.stack import DEADLINE_MS, Ask, Reply

TOP_K = 5
Rerank = Literal["none", "pointwise", "listwise"]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A way through the steps of a search."""

    rerank: Rerank
    refine: bool

    @property
    def name(self) -> str:
        ranked = "retrieved" if self.rerank == "none" else f"reranked {self.rerank}"
        return f"{ranked}, {'refined' if self.refine else 'whole fragments'}"


@dataclass(frozen=True, slots=True)
class Run:
    """What a pipeline answered.

    Attributes:
        judged: the whole answer of each query, at most `top_k` dialogues.
        first: its first dialogue alone.
    """

    pipeline: Pipeline
    judged: Sequence[Judged]
    first: Sequence[Judged]
    replies: Sequence[Reply]

    def scored(self, at_once: int) -> dict[str, Any]:
        return {
            **scored(self.judged),
            "first": micro(self.first).rounded(),
            "degraded": sum(bool(reply.body["degraded"]) for reply in self.replies),
            "empty": sum(not reply.body["fragments"] for reply in self.replies),
            "latency_ms": milliseconds([reply.seconds for reply in self.replies])
            | {"at_once": at_once},
        }

    def joint_at(self, places: Sequence[int]) -> float:
        """The joint F1 of these queries."""
        return round(micro([self.judged[place] for place in places]).joint.f1, 4)


def main(argv: Sequence[str] | None = None) -> int:
    parser = command.parser("training.evaluate.corpus", str(__doc__).splitlines()[0])
    add_corpus_arguments(parser)
    parser.add_argument("--top-k", type=command.positive, default=TOP_K, help="dialogues answered")
    parser.add_argument(
        "--rerank",
        choices=("none", "pointwise", "listwise"),
        nargs="+",
        default=["none", "pointwise"],
        help="rankings to measure, each with and without refining",
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
    runs = [
        await _run(filled, pipeline, args)
        for rerank in dict.fromkeys(args.rerank)
        for pipeline in (Pipeline(rerank, refine=False), Pipeline(rerank, refine=True))
    ]
    return filled.record(
        "corpus",
        [reply for run in runs for reply in run.replies],
        candidates=args.candidates,
        top_k=args.top_k,
        systems={run.pipeline.name: run.scored(args.concurrency) for run in runs},
        differences=differences(held_out, filled.queries, runs),
        by=breakdown(filled.queries, {run.pipeline.name: run.joint_at for run in runs}),
    )


async def _run(filled: Filled, pipeline: Pipeline, args: argparse.Namespace) -> Run:
    asks = [
        Ask(
            f"query {query.text!r}",
            PATH,
            FragmentSearchRequest(
                query=query.text,
                collection=filled.collection["name"],
                rerank=pipeline.rerank,
                refine=pipeline.refine,
                top_k=args.top_k,
                candidates=args.candidates,
                timeout_ms=DEADLINE_MS,
            ),
        )
        for query in filled.queries
    ]
    replies = await filled.stack.ask_all(asks, label=pipeline.name)
    answers: list[Sequence[Found]] = [reply.body["fragments"] for reply in replies]
    paired = list(zip(filled.queries, answers, strict=True))
    return Run(
        pipeline,
        [filled.held_out.judge(query, answer) for query, answer in paired],
        [filled.held_out.judge(query, answer[:1]) for query, answer in paired],
        replies,
    )


def differences(
    held_out: HeldOut, queries: Sequence[CorpusQuery], runs: Sequence[Run]
) -> dict[str, dict[str, float]]:
    """What refining gains under each ranking, and what each ranking gains when refined."""
    clusters = [held_out.cluster(query) for query in queries]
    by_pipeline = {run.pipeline: run for run in runs}
    rankings = list(dict.fromkeys(run.pipeline.rerank for run in runs))
    pairs = [(Pipeline(one, refine=True), Pipeline(one, refine=False)) for one in rankings]
    if "none" in rankings:
        pairs += [
            (Pipeline(one, refine=refine), Pipeline("none", refine=refine))
            for one in rankings
            if one != "none"
            for refine in (False, True)
        ]
    return {
        f"{one.name} less {other.name}": asdict(
            joint_f1_difference(by_pipeline[one].judged, by_pipeline[other].judged, clusters)
        )
        for one, other in pairs
    }


if __name__ == "__main__":
    raise SystemExit(main())
