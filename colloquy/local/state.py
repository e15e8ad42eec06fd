"""What the supervisor says of the stack, in one file that others read: `up`, `status`, `down`."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from colloquy.local.processes import Identity, boot_id, is_alive

ChildPhase = Literal["starting", "ready", "restarting", "stopping", "stopped", "failed"]
StackPhase = Literal["starting", "ready", "degraded", "stopping", "failed", "down"]


class State(BaseModel):
    model_config = ConfigDict(frozen=True)


class ChildState(State):
    name: str
    state: ChildPhase
    pid: int | None = None
    restarts: int = 0
    since: float | None = None
    detail: str = ""
    log: str


class StackState(State):
    """`page_token` opens the local page's writes, so the file is this user's alone."""

    profile: str
    profile_path: str
    state: StackPhase
    detail: str = ""
    boot: str
    supervisor: tuple[int, int]
    api_url: str
    page_token: str | None = None
    children: list[ChildState] = []
    processes: list[tuple[int, int]] = []

    @property
    def page_url(self) -> str:
        return f"{self.api_url}/" + (f"#token={self.page_token}" if self.page_token else "")

    @property
    def supervisor_is_alive(self) -> bool:
        return self.boot == boot_id() and is_alive(Identity(*self.supervisor))

    def write(self, path: Path) -> None:
        """Whole or not at all, so that a reader never meets half of it."""
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=1))
        fresh.replace(path)


def read_state(path: Path) -> StackState | None:
    try:
        return StackState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
