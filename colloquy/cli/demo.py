"""demo: three questions to the sample dialogues, then the sample corpus, indexed and searched."""

import json
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from colloquy.cli.demo_corpus import index_and_search
from colloquy.cli.dialogue_file import with_pictures
from colloquy.cli.failure import CommandFailed
from colloquy.cli.gateway import Gateway
from colloquy.cli.profiles import stack_of
from colloquy.cli.show import show_turns
from colloquy.cli.stack import bring_up, tell
from colloquy.local.control import Stack

_QUESTIONS = 3
_SAMPLES = Path("starter/samples")
_CORPUS = "corpus"


@dataclass(frozen=True, slots=True)
class Question:
    title: str
    dialogue: dict[str, Any]
    query: str
    by_picture: bool


def demo(arguments: Namespace) -> int:
    """0 when every question was answered, the one about a picture with a picture."""
    stack = stack_of(arguments)
    console = Console()
    folder = stack.profile.root / stack.profile.gateway.get("samples", _SAMPLES)
    questions = choose(_read(folder / "dialogues.json"))
    state = bring_up(stack, console)
    failures = [why for q in questions if (why := _ask(console, stack, folder, q)) is not None]
    if stack.profile.indexer is not None:
        with Gateway.of(stack, patient=True) as gateway:
            failures += index_and_search(console, gateway, folder / _CORPUS)
    console.print(Rule(style="dim"))
    console.print("The stack stays up. Try your own on its page:")
    tell(console, state)
    if failures:
        raise CommandFailed("; ".join(failures))
    return 0


def choose(samples: list[dict[str, Any]]) -> list[Question]:
    """Three questions, of different dialogues where possible, a picture's among them."""
    found = [
        Question(s["title"], s["dialogue"], q["query"], q["answered_by"] == "picture")
        for s in samples
        for q in s["queries"]
    ]
    pictures = [question for question in found if question.by_picture]
    texts = [question for question in found if not question.by_picture]
    if not pictures or len(found) < _QUESTIONS:
        raise CommandFailed("the sample dialogues lack questions")
    chosen = [pictures[0]]
    for apart in (True, False):
        for question in [*texts, *pictures[1:]]:
            fresh = question.title not in {one.title for one in chosen}
            if len(chosen) < _QUESTIONS and question not in chosen and (fresh or not apart):
                chosen.append(question)
    return [*chosen[1:], chosen[0]]


def _ask(console: Console, stack: Stack, folder: Path, question: Question) -> str | None:
    """Asks and shows; returns what is wrong with the answer, if anything."""
    turns = question.dialogue["utterances"]
    console.print(Rule(style="dim"))
    console.print(f"[dim]{escape(question.title)}, {len(turns)} turns[/]", highlight=False)
    console.print(f"[bold yellow]?[/] [bold]{escape(question.query)}[/]", highlight=False)
    began = time.monotonic()
    try:
        with Gateway.of(stack) as gateway, console.status("asking …"):
            sent = with_pictures(question.dialogue, folder, gateway.upload)
            body = {"query": question.query, "dialogue": sent}
            answer = gateway.post("/v1/fragments/search", body)
    except CommandFailed as failure:
        console.print(f"[red]{escape(str(failure))}[/]")
        return f"“{question.query}” failed: {failure}"
    elapsed_s = time.monotonic() - began
    found = {i for fragment in answer["fragments"] for i in fragment["utterance_ids"]}
    pictures = [i for fragment in answer["fragments"] for i in fragment["image_ids"]]
    show_turns(console, turns, ids=found)
    facts = f"{len(found)} of {len(turns)} turns"
    facts += f", picture {', '.join(map(str, pictures))}" if pictures else ""
    models = ", ".join(answer["models"].values())
    console.print(f"[dim]{facts} · {elapsed_s:.1f} s · {models}[/]", highlight=False)
    if not found:
        return f"“{question.query}” found nothing"
    if question.by_picture and not pictures:
        return f"“{question.query}” should have found a picture"
    return None


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the sample dialogues cannot be read: {path}: {error}") from error
    return content
