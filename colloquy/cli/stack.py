"""up, down, status, logs."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from colloquy.cli.failure import CommandFailed
from colloquy.cli.profiles import stack_of
from colloquy.cli.progress import show_until_ready
from colloquy.local.control import Stack
from colloquy.local.logs import tail
from colloquy.local.state import StackState

_LOOK_AGAIN_S = 0.5


class _Stopped(Exception):
    """Somebody asked this command to end."""


def up(arguments: Namespace) -> int:
    stack = stack_of(arguments)
    console = Console()
    with _stoppable():
        try:
            ready = bring_up(stack, console, tied=arguments.foreground)
            tell(console, ready)
            if arguments.foreground:
                console.print("Ctrl-C ends it.")
                _stay(stack)
        except (_Stopped, KeyboardInterrupt):
            console.print("ending the stack …")
            stack.stop()
            return 0 if arguments.foreground else 130
    return 0


def bring_up(stack: Stack, console: Console, *, tied: bool = False) -> StackState:
    """Starts the stack unless it runs, shows how it comes up, and returns when it is ready."""
    profile = stack.profile
    if stack.start(tied=tied):
        about = escape(" ".join(profile.about.split()))
        console.print(f"[bold]{profile.name}[/]: {about}", soft_wrap=not console.is_terminal)
    else:
        _refuse_another(stack)
        console.print("it is up already" if _is_ready(stack) else "it is starting already")
    began = time.monotonic()
    ready = show_until_ready(console, stack.follow())
    waited_s = time.monotonic() - began
    if waited_s > 1:
        console.print(f"ready after {waited_s:.0f} s", highlight=False)
    return ready


def _refuse_another(stack: Stack) -> None:
    """One checkout keeps one stack: another profile waits until the first has ended."""
    state = stack.state()
    if state is not None and state.profile != stack.profile.name:
        raise CommandFailed(
            f"the stack is up on profile `{state.profile}`; `colloquy down` ends it, "
            f"then `{stack.profile.name}` can start"
        )


def tell(console: Console, state: StackState) -> None:
    """Where everything is, on lines of their own that are never broken."""
    for name, what in (("page", state.page_url), ("API ", state.api_url)):
        console.print(f"  {name}  {what}", soft_wrap=True, highlight=False, markup=False)
    line = f"  end   {_called()} down"
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _called() -> str:
    """What to type for this command: it is seldom on the path of whoever ran `make demo`."""
    at = Path(sys.argv[0])
    is_ours = at.name == "colloquy" and shutil.which("colloquy") is None
    return os.path.relpath(at) if is_ours else "colloquy"


def down(arguments: Namespace) -> int:
    stack = stack_of(arguments)
    was_up = stack.stop()
    Console().print("everything has ended" if was_up else "nothing was up")
    return 0


def status(arguments: Namespace) -> int:
    """0 when the stack is ready, 1 otherwise."""
    stack = stack_of(arguments)
    state = stack.state()
    if arguments.json:
        # Without the token: this output ends in logs and bug reports.
        Console().print_json(json.dumps(_as_json(stack, state)))
    elif state is None:
        failure = stack.last_failure()
        Console().print("down" if failure is None else f"down; it failed: {escape(failure)}")
    else:
        _print_table(state)
    return 0 if state is not None and state.state == "ready" else 1


def logs(arguments: Namespace) -> int:
    stack = stack_of(arguments)
    found = {path.stem: path for path in sorted(stack.layout.logs_dir.glob("*.log"))}
    if arguments.child is not None:
        if arguments.child not in found:
            raise CommandFailed(f"there is no log of that; there are {', '.join(found) or 'none'}")
        found = {arguments.child: found[arguments.child]}
    console = Console(soft_wrap=True, highlight=False, markup=False)
    positions = {}
    for name, path in found.items():
        positions[name] = path.stat().st_size
        for line in tail(path)[-arguments.lines :]:
            console.print(f"{name} │ {line}")
    while arguments.follow:
        time.sleep(_LOOK_AGAIN_S)
        for name, path in found.items():
            size = path.stat().st_size
            if size != positions[name]:
                for line in tail(path, since=positions[name]):
                    console.print(f"{name} │ {line}")
                positions[name] = size
    return 0


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """A terminal that closes, and a polite kill, end the command as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stay(stack: Stack) -> None:
    while stack.state() is not None:
        time.sleep(_LOOK_AGAIN_S)


def _is_ready(stack: Stack) -> bool:
    state = stack.state()
    return state is not None and state.state == "ready"


def _as_json(stack: Stack, state: StackState | None) -> dict[str, object]:
    if state is None:
        detail = stack.last_failure() or ""
        return {"profile": stack.profile.name, "state": "down", "ready": False, "detail": detail}
    hidden = {"page_token", "boot", "supervisor", "processes", "children"}
    now = time.time()
    children = []
    for child in state.children:
        shown = child.model_dump(exclude={"since"})
        shown["uptime_s"] = round(now - child.since, 1) if child.since and child.pid else None
        children.append(shown)
    return {
        **state.model_dump(exclude=hidden),
        "ready": state.state == "ready",
        "supervisor_pid": state.supervisor[0],
        "children": children,
    }


def _print_table(state: StackState) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "for", "restarts", "detail"):
        table.add_column(column)
    colours = {"ready": "green", "failed": "red"}
    for child in state.children:
        colour = colours.get(child.state, "yellow")
        since = _duration(time.time() - child.since) if child.since else ""
        table.add_row(
            child.name,
            f"[{colour}]{child.state}[/]",
            str(child.pid or ""),
            since,
            str(child.restarts),
            escape(child.detail),
        )
    console.print(f"{state.profile}: [bold]{state.state}[/]  {escape(state.detail)}")
    console.print(table)
    console.print(f"page {state.page_url}", soft_wrap=True, highlight=False, markup=False)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"
