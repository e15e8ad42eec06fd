"""Where the supervisor keeps things: sockets and state, logs, secrets."""

import os
import stat
from pathlib import Path

from colloquy.profile import Profile, new_secret


class NotPrivate(Exception):
    """A folder that must be this user's alone is not; the message names it."""


class Layout:
    def __init__(self, profile: Profile) -> None:
        self.run_dir = profile.run_dir
        self.state_file = self.run_dir / "stack.json"
        # Outside the run folder, since that is removed with the stack and a lock must not be.
        self.lock_file = profile.state_dir / "supervisor.lock"
        self.logs_dir = profile.state_dir / "logs"
        self.keys_file = profile.keys_file
        self._secrets_dir = profile.state_dir / "secrets"

    def log_of(self, name: str) -> Path:
        return self.logs_dir / f"{name}.log"

    def prepare(self) -> None:
        """Makes the folders, open to this user only where secrets or sockets lie.

        Raises:
            NotPrivate: the run folder is somebody else's. OSError: it cannot be made.
        """
        self.logs_dir.mkdir(parents=True, exist_ok=True)
        for folder in (self.run_dir, self._secrets_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                raise NotPrivate(f"{folder} belongs to somebody else")
            folder.chmod(0o700)

    def blob_key(self) -> str:
        """As old as the blobs it keys: made once, kept."""
        path = self._secrets_dir / "blob-key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            kept = path.read_text(encoding="ascii").strip()
            if kept:
                return kept
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        secret = new_secret()
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
        return secret
