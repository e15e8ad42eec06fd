"""`key=value` on the command line: what a search is narrowed to, whose traces are erased."""

import json
from collections.abc import Iterable
from typing import Any

from colloquy.cli.failure import CommandFailed

_OWN = ("dialogue_id", "speaker", "after", "before")


def conditions(written: Iterable[str]) -> dict[str, list[Any]]:
    """`shop=kites` is a text; `price:=5` is JSON. A key that stands again has several values.

    Raises:
        CommandFailed: neither of the two forms.
    """
    found: dict[str, list[Any]] = {}
    for one in written:
        key, equals, value = one.partition("=")
        if not equals or not key.removesuffix(":"):
            raise CommandFailed(f"`{one}` is not KEY=VALUE")
        if not key.endswith(":"):
            found.setdefault(key, []).append(value)
            continue
        try:
            found.setdefault(key[:-1], []).append(json.loads(value))
        except ValueError as error:
            raise CommandFailed(f"`{one}`: what follows `:=` is not JSON") from error
    return found


def search_filter(written: Iterable[str]) -> dict[str, Any] | None:
    """The filter of a search: `dialogue_id`, `speaker`, `after` and `before` are its own fields,
    every other key is metadata.

    Raises:
        CommandFailed: not of the form, or a bound twice.
    """
    found = conditions(written)
    made: dict[str, Any] = {}
    for name in _OWN:
        values = found.pop(name, None)
        if values is None:
            continue
        if name in ("after", "before") and len(values) > 1:
            raise CommandFailed(f"`{name}` takes one value")
        made[name] = values[0] if name in ("after", "before") else values
    if found:
        made["metadata"] = found
    return made or None
