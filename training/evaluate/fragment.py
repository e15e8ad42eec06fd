"""Runs the held-out queries through the running stack and scores what comes back.

python -m training.evaluate.fragment                       # the test split, against the gateway
python -m training.evaluate.fragment --limit 60 --json
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colloquy.contracts.fragments import FragmentSearchRequest
from colloquy.profile import Profile
from colloquy.servicekit.problems import ServiceError
from training.evaluate import baselines, command, form, predictions
from training.evaluate.cases import Question, questions
from training.evaluate.comparison import compare
from training.evaluate.direct import can_ask_directly
from training.evaluate.fragment_metrics import Chosen
from training.evaluate.fragment_tables import show
from training.evaluate.latency import milliseconds
from training.evaluate.provenance import provenance
from training.evaluate.stack import DEADLINE_MS, Ask, Reply, Stack, chosen_profile, gateway_url

TASK = "fragment"
PATH = "/v1/fragments/search"


def main(argv: Sequence[str] | None = None) -> int:
    parser = command.parser("training.evaluate.fragment", str(__doc__).splitlines()[0])
    parser.add_argument("--save", type=Path, help="also write predictions as upstream's JSONL")
    parser.add_argument(
        "--no-form", action="store_true", help="do not ask the engine without its grammar"
    )
    return command.run(parser.parse_args(argv), evaluate, show)


async def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Asks everything and returns the whole record.

    Raises:
        ProfileError, HashDiffers, StackFailed
    """
    profile = chosen_profile(args.profile)
    held_out = questions(args.split, args.limit)
    stack = Stack(args.url or gateway_url(profile), key=args.key, concurrency=args.concurrency)
    replies = await stack.ask_all([_ask(q) for q in held_out], label="asking the stack")
    predicted = [found(reply.body) for reply in replies]
    if args.save:
        predictions.write(args.save, held_out, predicted)
    versions = versions_of(replies)
    dialogues = len({question.case.world.id for question in held_out})
    return {
        "task": TASK,
        "command": command.called("fragment", args.split),
        "set": command.described(
            args.split, args.limit, dialogues=dialogues, queries=len(held_out)
        ),
        "profile": profile.name,
        "models": versions,
        **compare(held_out, predicted, baselines.tuned(questions("validation"))),
        "degraded": sum(bool(reply.body.get("degraded")) for reply in replies),
        "latency_ms": milliseconds([r.seconds for r in replies]) | {"at_once": args.concurrency},
        "form": None if args.no_form else await _form(profile, versions, held_out),
        "made_by": provenance(),
    }


def found(body: Mapping[str, Any]) -> Chosen:
    """The union of the fragments of one answer."""
    fragments = body["fragments"]
    return Chosen.of(
        (i for fragment in fragments for i in fragment["utterance_ids"]),
        (i for fragment in fragments for i in fragment["image_ids"]),
    )


def versions_of(replies: Sequence[Reply]) -> dict[str, str]:
    """The versions that answered; two for one task mean that it was switched meanwhile."""
    seen: dict[str, set[str]] = {}
    for reply in replies:
        for task, model in reply.body["models"].items():
            seen.setdefault(task, set()).add(model)
    return {task: " and ".join(sorted(models)) for task, models in seen.items()}


def _ask(question: Question) -> Ask:
    body = FragmentSearchRequest(
        query=question.query.text, dialogue=question.case.dialogue, timeout_ms=DEADLINE_MS
    )
    return Ask(f"{question.case.world.id}, query {question.query.text!r}", PATH, body)


async def _form(
    profile: Profile, versions: Mapping[str, str], held_out: Sequence[Question]
) -> dict[str, Any]:
    task = profile.tasks.get("fragment")
    if task is None or not can_ask_directly(profile, task):
        return {"why": "not measured: the engine is somebody else's"}
    try:
        forms = await form.measure(profile, task, versions.get(TASK, ""), held_out)
    except (ServiceError, LookupError) as error:
        return {"why": f"not measured: {error}"}
    return {name: asdict(one) for name, one in forms.items()}


if __name__ == "__main__":
    raise SystemExit(main())
