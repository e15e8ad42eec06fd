"""What a supervisor that was killed left behind, and its end."""

import os
import shutil

from colloquy.local.layout import Layout
from colloquy.local.plan import STACK_VARIABLE
from colloquy.local.processes import (
    Identity,
    Process,
    boot_id,
    end_all,
    family,
    has_mark,
    processes,
)
from colloquy.local.state import StackState, read_state

_PATIENCE_S = 8.0


def clean_up(layout: Layout) -> int:
    """Ends every process of an earlier stack in this run folder and removes its sockets; returns
    how many processes there were. Only for who holds the supervisor's lock.

    A process belongs to it if the supervisor wrote down its id and start, or if its environment
    says so, or if one of these started it. An id alone proves nothing: ids are used again.
    """
    state = read_state(layout.state_file)
    found: set[Identity] = set()

    def left() -> set[Identity]:
        nonlocal found
        found |= _written_down(state) | _marked(layout)
        alive = family(processes(), -1, found)
        found |= alive
        return alive

    count = len(left())
    if count:
        end_all(left, patience_s=_PATIENCE_S)
    clear(layout)
    return count


def clear(layout: Layout) -> None:
    """Removes sockets and state; the folder is the stack's own and holds nothing else."""
    shutil.rmtree(layout.run_dir, ignore_errors=True)


def clear_sockets(layout: Layout) -> None:
    """Leaves the state alone, which says why the stack is down."""
    for path in layout.run_dir.iterdir():
        if path != layout.state_file:
            path.unlink(missing_ok=True)


def _written_down(state: StackState | None) -> set[Identity]:
    if state is None or state.boot != boot_id():
        return set()
    return {Identity(*pair) for pair in state.processes}


def _marked(layout: Layout) -> set[Identity]:
    mark = f"{STACK_VARIABLE}={layout.run_dir}"
    everyone = processes()
    spared = _line_of(os.getpid(), everyone)
    return {
        process.identity
        for process in everyone.values()
        if not process.dead and process.pid not in spared and has_mark(process.pid, mark)
    }


def _line_of(pid: int, everyone: dict[int, Process]) -> set[int]:
    """A process and those it descends from: who cleans up may itself run inside a stack."""
    line = {pid}
    while (process := everyone.get(pid)) is not None and process.parent not in line:
        pid = process.parent
        line.add(pid)
    return line
