"""Dialogues, fragments and tables as text for a terminal, or for a file."""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_PICTURE = "[magenta]▧ picture[/]"
_ANY_WIDTH = 10_000


def counted(number: int, word: str) -> str:
    """`1 dialogue`, `2,000 dialogues`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table whose first column, a name to be copied, is never cut or broken.

    Into a pipe or a file each row is one line, however long.
    """
    console = Console() if sys.stdout.isatty() else Console(width=_ANY_WIDTH)
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def show_turns(console: Console, turns: Sequence[dict[str, Any]], *, ids: Collection[int]) -> None:
    """Those of `turns` whose position is in `ids`; a gap between two is shown as one."""
    show_numbered(console, {at: turn for at, turn in enumerate(turns) if at in ids})


def show_numbered(console: Console, turns: Mapping[int, dict[str, Any]]) -> None:
    """Turns by their ids, ascending; a gap between two is shown as one."""
    last: int | None = None
    for position, turn in turns.items():
        if last is not None and position != last + 1:
            console.print("      [dim]⋮[/]")
        last = position
        speaker = escape(str(turn["speaker"]))
        console.print(f"  [cyan]{position:>3}[/] [bold]{speaker}[/]  {_content(turn['content'])}")


def _content(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return escape(content)
    return " ".join(
        escape(part["text"]) if part.get("type") == "text" else _PICTURE for part in content
    )
