"""What the evaluations on the held-out corpus share: its arguments, its collection on the running
stack, the frame of their records, and how they break scores down."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from training.data.world.corpus import CorpusQuery
from training.evaluate import command
from training.evaluate.corpus_set import HeldOut, facts_of
from training.evaluate.fragment import versions_of
from training.evaluate.provenance import provenance
from training.evaluate.retrieval_metrics import KS
from training.evaluate.stack import Reply, Stack
from training.evaluate.standing import Standing

DEEPEST = max(KS)


def add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", help="that holds the corpus, or will; else one by its hash")
    parser.add_argument(
        "--candidates", type=command.positive, default=DEEPEST, help="that retrieval proposes"
    )


@dataclass(frozen=True, slots=True)
class Filled:
    """The corpus in a collection of the running stack, and what is to be asked of it."""

    held_out: HeldOut
    queries: Sequence[CorpusQuery]
    profile: str
    collection: Mapping[str, Any]
    stack: Stack

    @classmethod
    async def on_the_stack(cls, held_out: HeldOut, args: argparse.Namespace) -> Self:
        """Fills the collection where needed.

        Raises:
            ProfileError, CommandFailed, StackFailed
        """
        standing = Standing.of(args)
        collection = await standing.holding(held_out, args.collection)
        return cls(
            held_out,
            held_out.queries[: args.limit],
            standing.profile.name,
            collection,
            standing.stack(args.concurrency),
        )

    def record(self, task: str, replies: Sequence[Reply], **measured: Any) -> dict[str, Any]:
        """What was measured, with what it was measured on."""
        return {
            "task": task,
            "command": f"python -m training.evaluate.{task}",
            "set": self.held_out.described(len(self.queries)),
            "collection": {name: self.collection[name] for name in ("name", "fragments", "spaces")},
            "profile": self.profile,
            "models": versions_of(replies),
            **measured,
            "made_by": provenance(),
        }


def breakdown(
    queries: Sequence[CorpusQuery], systems: Mapping[str, Callable[[Sequence[int]], Any]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """For each fact and each of its values: how many queries, and what each system scores there.

    Args:
        systems: by name, the score of the queries at these places.
    """
    facts = [facts_of(query) for query in queries]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for fact in facts[0] if facts else ():
        for value in sorted({one[fact] for one in facts}):
            places = [place for place, one in enumerate(facts) if one[fact] == value]
            found.setdefault(fact, {})[value] = {
                "queries": len(places),
                "systems": {name: score(places) for name, score in systems.items()},
            }
    return found
