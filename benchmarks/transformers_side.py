"""Drives the transformers worker."""

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from colloquy.protocols.f2rvlm import render_fragment
from colloquy.protocols.prompt import Prompt
from training.evaluate.cases import Question
from training.evaluate.direct import content


class WorkerFailed(Exception):
    """The transformers process ended; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Answered:
    texts: list[str]
    seconds: float
    new_tokens: int


@dataclass(frozen=True, slots=True)
class Scored:
    scores: list[float]
    seconds: float


@contextmanager
def transformers_side(
    base: Path, adapter: Path | None, *, merged: bool = True, max_tokens: int = 512
) -> Iterator["TransformersSide"]:
    """Starts the worker, waits until its model is loaded, and ends it after."""
    command = [sys.executable, "-m", "benchmarks.transformers_worker", "--base", str(base)]
    command += ["--adapter", str(adapter)] if adapter else []
    command += [] if merged else ["--unmerged"]
    command += ["--max-tokens", str(max_tokens)]
    # What it says goes to a file: a pipe that nobody reads would fill up and stop it.
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            yield TransformersSide(process, said)
        finally:
            process.terminate()


class TransformersSide:
    """The same questions through `transformers.generate`, on the same weights."""

    def __init__(self, process: "subprocess.Popen[str]", said: IO[str]) -> None:
        self._process = process
        self._said = said
        self.threads: int = self._read()["threads"]

    def answer(self, questions: Sequence[Question], *, batched: bool) -> Answered:
        """Answers one by one or as one batch; the time is the worker's own.

        Raises:
            WorkerFailed: it ended.
        """
        prompts = [_prompt(question) for question in questions]
        reply = self._ask({"batched": batched, "prompts": prompts})
        return Answered(reply["texts"], reply["seconds"], reply["new_tokens"])

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str], *, batched: bool) -> Scored:
        """The first label's share of the labels' probability as the answer's first token.

        Raises:
            WorkerFailed: it ended.
        """
        written = [_written(prompt) for prompt in prompts]
        reply = self._ask({"batched": batched, "prompts": written, "labels": list(labels)})
        return Scored(reply["scores"], reply["seconds"])

    def _ask(self, record: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(record) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            raise WorkerFailed(f"transformers ended: {self._said.read().strip()[-1_000:]}")
        reply: dict[str, Any] = json.loads(line)
        return reply


def _prompt(question: Question) -> dict[str, Any]:
    return _written(render_fragment(question.case.dialogue.utterances, question.query.text))


def _written(prompt: Prompt) -> dict[str, Any]:
    """Pictures are `data:` URLs."""
    parts = [
        {"text": part} if isinstance(part, str) else {"png": base64.b64encode(part.data).decode()}
        for part in content(prompt)
    ]
    return {"system": prompt.system, "parts": parts}
