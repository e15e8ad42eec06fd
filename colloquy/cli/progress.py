"""The stack as it comes up: one line a process, rewritten on a terminal."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from colloquy.local.state import ChildState, StackState

_MARKS = {
    "ready": "[green]●[/]",
    "starting": "[yellow]○[/]",
    "restarting": "[yellow]↻[/]",
    "stopping": "[yellow]◌[/]",
    "stopped": "[dim]◌[/]",
    "failed": "[red]✗[/]",
}
_SAY_AGAIN_S = 10.0
_WAITS = {"engine": "loads its model", "service": "starts"}


def show_until_ready(console: Console, states: Iterable[StackState]) -> StackState:
    """Shows each state; returns the last, which is ready.

    Raises:
        StackFailed: as `states` does.
    """
    return _rewriting(console, states) if console.is_terminal else _printing(console, states)


def _rewriting(console: Console, states: Iterable[StackState]) -> StackState:
    began = time.monotonic()
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        for state in states:
            live.update(_picture(state, time.monotonic() - began))
    return state


def _printing(console: Console, states: Iterable[StackState]) -> StackState:
    """For logs: a line for what is new, and a sign of life now and then."""
    began = said_at = time.monotonic()
    known: dict[str, str] = {}
    for state in states:
        now = time.monotonic()
        for child in state.children:
            if known.get(child.name) != child.state:
                known[child.name] = child.state
                console.print(f"  {child.name}: {_words(child)}", highlight=False, soft_wrap=True)
                said_at = now
        if now - said_at > _SAY_AGAIN_S:
            said_at = now
            waits = ", ".join(c.name for c in state.children if c.state != "ready") or state.detail
            console.print(
                f"  {now - began:.0f} s: waiting for {waits}", highlight=False, soft_wrap=True
            )
    return state


def _picture(state: StackState, elapsed_s: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for child in state.children:
        table.add_row(_MARKS[child.state], child.name, _words(child))
    table.add_row("", f"[dim]{elapsed_s:.0f} s[/]", "")
    return table


def _words(child: ChildState) -> str:
    if child.state == "starting" and not child.restarts:
        return _WAITS["engine" if child.name.startswith("engine-") else "service"]
    return f"{child.state}: {child.detail}" if child.detail else child.state
