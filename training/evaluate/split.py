"""Splits the held-out dialogues through the running stack and scores the boundaries.

python -m training.evaluate.split
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from colloquy.contracts.fragments import SplitRequest
from training.data.world import splits
from training.evaluate import boundaries, command
from training.evaluate.bootstrap import f1, paired_interval
from training.evaluate.boundaries import NEAR_TURNS, Hits, hits, starts, true_starts
from training.evaluate.cases import WorldCase
from training.evaluate.fragment import versions_of
from training.evaluate.latency import milliseconds
from training.evaluate.provenance import provenance
from training.evaluate.stack import DEADLINE_MS, Ask, Stack, chosen_profile, gateway_url
from training.evaluate.tables import plain_table, print_tables

PATH = "/v1/fragments/split"


def main(argv: Sequence[str] | None = None) -> int:
    parser = command.parser("training.evaluate.split", str(__doc__).splitlines()[0])
    return command.run(parser.parse_args(argv), evaluate, show)


async def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Splits every dialogue and returns the whole record.

    Raises:
        ProfileError, HashDiffers, StackFailed
    """
    profile = chosen_profile(args.profile)
    cases = [WorldCase(entry.dialogue) for entry in splits.load(args.split)][: args.limit]
    stack = Stack(args.url or gateway_url(profile), key=args.key, concurrency=args.concurrency)
    asks = [
        Ask(case.world.id, PATH, SplitRequest(dialogue=case.dialogue, timeout_ms=DEADLINE_MS))
        for case in cases
    ]
    replies = await stack.ask_all(asks, label="splitting")
    predicted = [
        starts([fragment["utterance_ids"] for fragment in reply.body["fragments"]])
        for reply in replies
    ]
    validation = [WorldCase(entry.dialogue) for entry in splits.load("validation")]
    return {
        "task": "split",
        "command": command.called("split", args.split),
        "set": command.described(args.split, args.limit, dialogues=len(cases)),
        "profile": profile.name,
        "models": versions_of(replies),
        **compare(cases, predicted, boundaries.tuned(validation)),
        "degraded": sum(bool(reply.body.get("degraded")) for reply in replies),
        "latency_ms": milliseconds([r.seconds for r in replies]) | {"at_once": args.concurrency},
        "made_by": provenance(),
    }


def compare(
    cases: Sequence[WorldCase],
    predicted: Sequence[set[int]],
    baselines: Sequence[boundaries.Splitter],
) -> dict[str, Any]:
    """Scores predicted boundaries beside the baselines', with paired intervals of exact F1."""
    exact = _judge(cases, predicted, 0)
    names = [case.world.id for case in cases]
    less = {
        splitter.name: paired_interval(
            boundaries.rows(exact), boundaries.rows(boundaries.judge(splitter, cases)), names, f1
        )
        for splitter in baselines
    }
    return {
        "model": _scored(exact, _judge(cases, predicted, NEAR_TURNS)),
        "baselines": {
            splitter.name: {
                "settings": splitter.settings,
                **_scored(
                    boundaries.judge(splitter, cases),
                    boundaries.judge(splitter, cases, NEAR_TURNS),
                ),
            }
            for splitter in baselines
        },
        "model_less_baseline": {name: asdict(interval) for name, interval in less.items()},
        "exactly_right": sum(
            found == true_starts(case) for case, found in zip(cases, predicted, strict=True)
        )
        / len(cases),
    }


def show(result: Mapping[str, Any]) -> None:
    models = ", ".join(sorted(result["models"].values())) or "the stack"
    chosen = result["set"]
    systems = {models: result["model"]} | result["baselines"]
    columns = ["precision", "recall", "f1", "f1_within_one_turn"]
    rows = [[name, *(one[column] for column in columns)] for name, one in systems.items()]
    less = [
        [name, d["difference"], d["low"], d["high"]]
        for name, d in result["model_less_baseline"].items()
    ]
    title = (
        f"boundaries of {chosen['dialogues']} dialogues, {result['exactly_right']:.3f} all right"
    )
    headings = ["", *(column.replace("_", " ") for column in columns)]
    print_tables(
        plain_table(title, headings, rows),
        plain_table("model less baseline, F1", ["", "difference", "95% from", "to"], less),
    )


def _judge(
    cases: Sequence[WorldCase], predicted: Sequence[set[int]], near_turns: int
) -> list[Hits]:
    return [
        hits(true_starts(case), found, near_turns)
        for case, found in zip(cases, predicted, strict=True)
    ]


def _scored(exact: Sequence[Hits], near: Sequence[Hits]) -> dict[str, float]:
    whole = boundaries.total(exact)
    return {
        "precision": round(whole.precision, 4),
        "recall": round(whole.recall, 4),
        "f1": round(whole.f1, 4),
        "f1_within_one_turn": round(boundaries.total(near).f1, 4),
    }


if __name__ == "__main__":
    raise SystemExit(main())
