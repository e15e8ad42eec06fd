"""search and split: a dialogue from a file, through the gateway of the stack that is up."""

import json
from argparse import Namespace
from typing import Any

from rich.console import Console
from rich.markup import escape

from colloquy.cli.conditions import search_filter
from colloquy.cli.dialogue_file import data_url, read_dialogue, with_pictures
from colloquy.cli.gateway import Gateway
from colloquy.cli.profiles import stack_of
from colloquy.cli.show import show_numbered, show_turns


def search(arguments: Namespace) -> int:
    if arguments.collection is not None:
        return _search_collection(arguments)
    dialogue, answer = _ask(arguments, "/v1/fragments/search", {"query": arguments.query})
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(answer))
        return 0
    if not answer["fragments"]:
        console.print("nothing in the dialogue answers that")
    for fragment in answer["fragments"]:
        show_turns(console, dialogue["utterances"], ids=set(fragment["utterance_ids"]))
        if fragment["image_ids"]:
            console.print(f"      pictures {', '.join(map(str, fragment['image_ids']))}")
    _show_facts(console, answer)
    return 0


def _search_collection(arguments: Namespace) -> int:
    body: dict[str, Any] = {
        "collection": arguments.collection,
        "query": arguments.query,
        "filter": search_filter(arguments.filter),
        "top_k": arguments.top_k,
        "candidates": arguments.candidates,
        "rerank": arguments.rerank,
        "timeout_ms": arguments.timeout_ms,
    }
    body = {name: value for name, value in body.items() if value is not None}
    if arguments.no_refine:
        body["refine"] = False
    with Gateway.of(stack_of(arguments)) as gateway:
        if arguments.image is not None:
            body["query_image"] = {"url": gateway.upload(data_url(arguments.image))}
        answer = gateway.post("/v1/fragments/search", body)
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(answer))
        return 0
    if not answer["fragments"]:
        console.print("nothing in the collection answers that")
    for place, fragment in enumerate(answer["fragments"], start=1):
        facts = " ".join(
            f"{name} {score:.3f}" for name, score in fragment["scores"].items() if score is not None
        )
        console.print(
            f"[bold]{place}[/] {escape(fragment['dialogue_id'])}  [dim]{facts}[/]", highlight=False
        )
        turns = {turn["id"]: turn for turn in fragment["utterances"]}
        show_numbered(console, turns)
    _show_facts(console, answer)
    return 0


def split(arguments: Namespace) -> int:
    dialogue, answer = _ask(arguments, "/v1/fragments/split", {})
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(answer))
        return 0
    for number, fragment in enumerate(answer["fragments"], start=1):
        console.print(f"[bold]topic {number}[/]")
        show_turns(console, dialogue["utterances"], ids=set(fragment["utterance_ids"]))
    _show_facts(console, answer)
    return 0


def _ask(
    arguments: Namespace, path: str, body: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    dialogue = read_dialogue(arguments.dialogue)
    if arguments.timeout_ms is not None:
        body["timeout_ms"] = arguments.timeout_ms
    with Gateway.of(stack_of(arguments)) as gateway:
        sent = with_pictures(dialogue, arguments.dialogue.parent, gateway.upload)
        return dialogue, gateway.post(path, {**body, "dialogue": sent})


def _show_facts(console: Console, answer: dict[str, Any]) -> None:
    facts = [f"{answer['timings_ms']['total']:.0f} ms", *answer["models"].values()]
    facts += [f"without {step}" for step in answer["degraded"]]
    console.print(f"[dim]{escape(' · '.join(facts))}[/]", highlight=False)
