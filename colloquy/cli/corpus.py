"""collections, jobs, erase, reindex: what the stack keeps, and what it does with it."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape

from colloquy.cli.conditions import conditions
from colloquy.cli.failure import CommandFailed
from colloquy.cli.following import follow, last
from colloquy.cli.gateway import Gateway
from colloquy.cli.profiles import stack_of
from colloquy.cli.show import counted, show_table

_PAGE = 100


def collections(arguments: Namespace) -> int:
    """Lists them; the verbs have functions of their own."""
    with _gateway(arguments) as gateway:
        found = list(_pages(gateway, "/v1/collections", "collections"))
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(found))
    elif not found:
        console.print("there are no collections; `colloquy index` makes one")
    else:
        _show_collections(found)
    return 0


def show_collection(arguments: Namespace) -> int:
    with _gateway(arguments) as gateway:
        found = gateway.get(f"/v1/collections/{arguments.name}")
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(found))
        return 0
    _show_collections([found])
    for space in found["spaces"]:
        state = "" if space["current"] else "  [yellow]of an older model; `colloquy reindex`[/]"
        console.print(f"  {space['name']}  {space['revision']}, {space['dimensions']}{state}")
    return 0


def create_collection(arguments: Namespace) -> int:
    spec: dict[str, Any] = {"kind": "dialogues"}
    if arguments.space:
        spec["spaces"] = arguments.space
    if arguments.retention_days is not None:
        spec["retention_days"] = arguments.retention_days
    with _gateway(arguments) as gateway:
        made = gateway.call("PUT", f"/v1/collections/{arguments.name}", json=spec)
    names = ", ".join(space["name"] for space in made["spaces"])
    Console().print(f"{made['name']} is there; spaces: {names or 'bm25 alone'}", highlight=False)
    return 0


def drop_collection(arguments: Namespace) -> int:
    with _gateway(arguments) as gateway:
        if not arguments.yes:
            kept = gateway.get(f"/v1/collections/{arguments.name}")["dialogues"]
            _ask(f"drop {arguments.name} with its {counted(kept, 'dialogue')}?")
        answer = gateway.call("DELETE", f"/v1/collections/{arguments.name}")
        return _until_done(gateway, answer, f"{arguments.name} is gone")


def jobs(arguments: Namespace) -> int:
    """The jobs there are, or one of them: as it is, until its end, or no longer."""
    console = Console()
    with _gateway(arguments) as gateway:
        if arguments.id is None:
            path = "/v1/jobs"
            query = {"collection": arguments.collection} if arguments.collection else {}
            found = gateway.get(path, {"limit": arguments.limit, **query})["jobs"]
            if arguments.json:
                console.print_json(json.dumps(found))
            elif found:
                _show_jobs(found)
            else:
                console.print("there are no jobs")
            return 0
        if arguments.cancel:
            job = gateway.call("DELETE", f"/v1/jobs/{arguments.id}")
        elif arguments.follow:
            job = last(follow(gateway, arguments.id))
        else:
            job = gateway.get(f"/v1/jobs/{arguments.id}")
    if arguments.json:
        console.print_json(json.dumps(job))
    else:
        _show_job(console, job)
    return 0 if job["state"] != "failed" and not job["counts"]["failed"] else 1


def erase(arguments: Namespace) -> int:
    if (arguments.speaker is None) == (not arguments.metadata):
        raise CommandFailed("give either `--speaker NAME` or `--metadata KEY=VALUE`")
    what: dict[str, Any] = {"speaker": arguments.speaker}
    if arguments.metadata:
        metadata = conditions(arguments.metadata)
        if any(len(values) > 1 for values in metadata.values()):
            raise CommandFailed("`--metadata` takes each key once")
        what = {"metadata": {key: values[0] for key, values in metadata.items()}}
    if not arguments.yes:
        traces = arguments.speaker or ", ".join(arguments.metadata)
        _ask(f"erase every trace of {traces}, in every collection, for good?")
    with _gateway(arguments) as gateway:
        job = gateway.post("/v1/erase", what)
        return _until_done(gateway, job, "erased")


def reindex(arguments: Namespace) -> int:
    with _gateway(arguments) as gateway:
        names = arguments.names
        if arguments.all:
            names = [one["name"] for one in _pages(gateway, "/v1/collections", "collections")]
        if not names:
            raise CommandFailed("name the collections, or give `--all`")
        status = 0
        for name in names:
            job = gateway.call("POST", f"/v1/collections/{name}/reindex")
            status |= _until_done(gateway, job, f"{name} is indexed anew")
    return status


# --- shared -----------------------------------------------------------------------------------


def _gateway(arguments: Namespace) -> Gateway:
    return Gateway.of(stack_of(arguments))


def _pages(gateway: Gateway, path: str, name: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = gateway.get(path, {"limit": _PAGE} | ({"cursor": cursor} if cursor else {}))
        yield from page[name]
        cursor = page.get("next")
        if not cursor:
            return


def _until_done(gateway: Gateway, answer: dict[str, Any], done: str) -> int:
    """Follows the job that an answer is or names, if any; 1 when it failed."""
    console = Console()
    name = answer.get("id") or answer.get("job")
    if name is None:
        console.print(done, highlight=False)
        return 0
    job = last(follow(gateway, str(name)))
    if job["state"] != "done" or job["counts"]["failed"]:
        _show_job(console, job)
        return 1
    console.print(done, highlight=False)
    for what, count in (job.get("receipt") or {}).items():
        console.print(f"  {what}: {count}", highlight=False)
    return 0


def _ask(question: str) -> None:
    """
    Raises:
        CommandFailed: the answer is no, or nobody is there to give one.
    """
    if not sys.stdin.isatty():
        raise CommandFailed(f"{question} say so with `--yes`")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was done")


def _show_collections(found: list[dict[str, Any]]) -> None:
    show_table(
        ("collection", "dialogues", "fragments", "pending", "spaces", "kept"),
        (
            (
                one["name"],
                str(one["dialogues"]),
                str(one["fragments"]),
                str(one["pending"]),
                ", ".join(space["revision"] for space in one["spaces"]),
                f"{one['retention_days']} days" if one["retention_days"] else "for good",
            )
            for one in found
        ),
    )


def _show_jobs(found: list[dict[str, Any]]) -> None:
    show_table(
        ("job", "kind", "collection", "state", "done", "failed", "begun"),
        (
            (
                job["id"],
                job["kind"],
                job["collection"] or "–",
                job["state"],
                f"{job['counts']['indexed']} of {job['counts']['total']}",
                str(job["counts"]["failed"]),
                str(job["created"])[:19].replace("T", " "),
            )
            for job in found
        ),
    )


def _show_job(console: Console, job: dict[str, Any]) -> None:
    _show_jobs([job])
    for error in job["errors"]:
        who = error["dialogue_id"] or (f"item {error['item']}" if error["item"] is not None else "")
        words = ": ".join(filter(None, (who, error["at"], error["why"])))
        console.print(f"  [red]{escape(words)}[/]", highlight=False, soft_wrap=True)
