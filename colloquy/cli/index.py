"""index: dialogues from files into a collection of the stack that is up."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from rich.console import Console
from rich.markup import escape

from colloquy.cli.counts import counts
from colloquy.cli.failure import CommandFailed
from colloquy.cli.following import Job, follow
from colloquy.cli.gateway import Gateway
from colloquy.cli.ingestion import Chunk, Sender, ensure_collection
from colloquy.cli.profiles import stack_of
from colloquy.cli.show import counted
from colloquy.dialogue_files import Fault, Read, read_dialogues

_SHOWN_FAULTS = 50


@dataclass(slots=True)
class Outcome:
    """What became of everything.

    Attributes:
        indexed: searchable now; `unchanged` of them were there already.
        faults: with the file that each came from.
    """

    sent: int = 0
    indexed: int = 0
    unchanged: int = 0
    failed: int = 0
    jobs: list[str] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return {
            "sent": self.sent,
            "indexed": self.indexed,
            "unchanged": self.unchanged,
            "failed": self.failed,
            "jobs": self.jobs,
            "faults": [
                {
                    "file": file,
                    "place": fault.place,
                    "dialogue_id": fault.dialogue_id,
                    "at": fault.at,
                    "why": fault.why,
                }
                for file, fault in self.faults
            ],
        }


def index(arguments: Namespace) -> int:
    with Gateway.of(stack_of(arguments), patient=True) as gateway:
        for path in arguments.files:
            if path.is_dir():
                raise CommandFailed(f"{path} is a folder; name its files, as {path}/*.ndjson")
            if not path.is_file():
                raise CommandFailed(f"{path}: there is no such file")
        ensure_collection(gateway, arguments.collection)
        outcome = run(gateway, arguments.collection, sources(arguments.files))
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(outcome.as_json()))
    else:
        _tell(console, arguments.collection, outcome)
    return 1 if outcome.failed else 0


Source = tuple[str, Path, Iterable[Read | Fault]]
"""A name for messages, the folder of its pictures, what it holds."""


def sources(paths: Iterable[Path]) -> Iterable[Source]:
    for path in paths:
        yield str(path), path.parent, read_dialogues(path)


def run(gateway: Gateway, collection: str, sources: Iterable[Source]) -> Outcome:
    """Sends everything and follows it until it is searchable.

    Raises:
        CommandFailed: a file cannot be read, or the gateway takes nothing.
    """
    outcome = Outcome()
    with counts() as shown:
        follower = _Follower(gateway, shown.searchable)
        unsent: list[tuple[str, Fault]] = []
        for name, folder, found in sources:
            sender = Sender(gateway, collection)
            try:
                for chunk in sender.send(found, folder, shown.read):
                    outcome.sent += len(chunk.lines)
                    outcome.jobs.append(chunk.job)
                    shown.sent(outcome.sent)
                    follower.add(name, chunk)
            except OSError as error:
                raise CommandFailed(f"{name}: {error.strerror}") from error
            unsent += [(name, fault) for fault in sender.faults]
        shown.all_read()
        for name, chunk, job in follower.ended():
            _count(outcome, name, chunk, job)
    outcome.faults = _in_order(unsent + outcome.faults)
    outcome.failed += len(unsent)
    return outcome


class _Follower:
    """Follows jobs one after the other while others are still being sent.

    In a thread that ends with the process: whoever stops the command does not wait for jobs.
    """

    def __init__(self, gateway: Gateway, advance: Callable[[int], None]) -> None:
        self._gateway = gateway
        self._advance = advance
        self._waiting: SimpleQueue[tuple[str, Chunk] | None] = SimpleQueue()
        self._ended: list[tuple[str, Chunk, Job]] = []
        self._failure: CommandFailed | None = None
        self._thread = Thread(target=self._run, name="follow", daemon=True)
        self._thread.start()

    def add(self, name: str, chunk: Chunk) -> None:
        self._waiting.put((name, chunk))

    def ended(self) -> list[tuple[str, Chunk, Job]]:
        """Waits for the end of every job.

        Raises:
            CommandFailed: a job cannot be followed.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._ended

    def _run(self) -> None:
        try:
            while (one := self._waiting.get()) is not None:
                name, chunk = one
                self._ended.append((name, chunk, self._followed(chunk)))
        except CommandFailed as failure:
            self._failure = failure

    def _followed(self, chunk: Chunk) -> Job:
        shown = 0
        for state in follow(self._gateway, chunk.job):
            counts = state["counts"]
            ended = counts["indexed"] + counts["failed"] + counts["cancelled"]
            self._advance(ended - shown)
            shown = ended
        return state


def _count(outcome: Outcome, name: str, chunk: Chunk, job: Job) -> None:
    counts = job["counts"]
    outcome.indexed += counts["indexed"]
    outcome.unchanged += counts["unchanged"]
    outcome.failed += counts["failed"] + counts["cancelled"]
    outcome.faults += [(name, fault) for fault in chunk.faults(job)]
    if job["state"] != "done":
        outcome.failed += not (counts["failed"] + counts["cancelled"])
        outcome.faults.append((name, Fault("", f"the job ended as {job['state']}: {job['id']}")))


def _in_order(faults: list[tuple[str, Fault]]) -> list[tuple[str, Fault]]:
    """As they stand in the files, whoever found them; those of a whole file or job come first."""
    files = list(dict.fromkeys(name for name, _ in faults))

    def place(one: tuple[str, Fault]) -> tuple[int, int]:
        name, fault = one
        number = fault.place.rpartition(" ")[2]
        return files.index(name), int(number) if number.isdecimal() else 0

    return sorted(faults, key=place)


def _tell(console: Console, collection: str, outcome: Outcome) -> None:
    unchanged = f", {outcome.unchanged:,} of them unchanged" if outcome.unchanged else ""
    found = f"{collection}: {counted(outcome.indexed, 'dialogue')} can be searched{unchanged}"
    console.print(found, highlight=False, soft_wrap=True)
    if not outcome.failed:
        return
    console.print(f"[red]{outcome.failed:,} cannot[/]:", highlight=False)
    for name, fault in outcome.faults[:_SHOWN_FAULTS]:
        who = f" ({fault.dialogue_id})" if fault.dialogue_id else ""
        line = f"  {escape(name)}: {escape(str(fault) + who)}"
        console.print(line, highlight=False, soft_wrap=True)
    if len(outcome.faults) > _SHOWN_FAULTS:
        more = len(outcome.faults) - _SHOWN_FAULTS
        console.print(f"  and {more:,} more; `--json` lists them all", highlight=False)
