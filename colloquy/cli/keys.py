"""keys create, list, revoke."""

import json
import sys
import time
from argparse import Namespace
from contextlib import closing

from rich.console import Console
from rich.table import Table

from colloquy.cli.failure import CommandFailed
from colloquy.cli.profiles import stack_of
from colloquy.servicekit.keys import KeyRecord, KeyRefused, KeyStore

_DEFAULT_SCOPES = ("search",)


def create(arguments: Namespace) -> int:
    with _store(arguments) as store:
        try:
            key = store.create(
                arguments.tenant, arguments.scope or _DEFAULT_SCOPES, arguments.label
            )
        except KeyRefused as refusal:
            raise CommandFailed(str(refusal)) from refusal
    # The key alone on stdout, so that a script can take it.
    sys.stderr.write("This is the only time the key is shown:\n")
    sys.stdout.write(f"{key}\n")
    return 0


def list_keys(arguments: Namespace) -> int:
    with _store(arguments) as store:
        records = store.list()
    if arguments.json:
        Console().print_json(json.dumps([_as_json(record) for record in records]))
        return 0
    if not records:
        Console().print("there are no keys: the gateway serves this machine alone")
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("id", "tenant", "scopes", "created", "state", "label"):
        table.add_column(column)
    for record in records:
        table.add_row(
            record.id,
            record.tenant or "–",
            " ".join(sorted(record.scopes)),
            _day(record.created_s),
            f"revoked {_day(record.revoked_s)}" if record.revoked_s else "valid",
            record.label,
        )
    Console().print(table)
    return 0


def revoke(arguments: Namespace) -> int:
    with _store(arguments) as store:
        try:
            store.revoke(arguments.id)
        except KeyRefused as refusal:
            raise CommandFailed(str(refusal)) from refusal
    Console().print(f"{arguments.id} opens nothing any more")
    return 0


def _store(arguments: Namespace) -> closing[KeyStore]:
    return closing(KeyStore(stack_of(arguments).layout.keys_file))


def _as_json(record: KeyRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "tenant": record.tenant,
        "scopes": sorted(record.scopes),
        "label": record.label,
        "created_s": record.created_s,
        "revoked_s": record.revoked_s,
    }


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
