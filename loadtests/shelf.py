"""The collection of a run: made and filled before it, waited for and dropped after it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from colloquy.contracts.collections import FINAL

COLLECTION = "loadtest"
_LOOK_EVERY_S = 0.5
_CALL_S = 60.0


def authorized(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


class ShelfFailed(Exception):
    """The run cannot begin; the message says why."""


@dataclass(slots=True)
class Shelf:
    """Attributes:
    jobs: of the ingestions that were acknowledged and are not known to have ended.
    """

    host: str
    headers: Mapping[str, str]
    name: str = COLLECTION
    jobs: set[str] = field(default_factory=set)

    def fill(self, dialogues: Sequence[Any], *, within_s: float) -> None:
        """Makes the collection anew and waits until `dialogues` can be searched.

        Raises:
            ShelfFailed: it does not come to that.
        """
        try:
            self.drop()
            self._call("PUT", f"/v1/collections/{self.name}", {})
            path = f"/v1/collections/{self.name}/dialogues"
            self.jobs.add(self._call("POST", path, dialogues)["job"])
        except (OSError, ValueError, KeyError) as error:
            why = f"the collection cannot be made and filled: {error}"
            if isinstance(error, urllib.error.HTTPError) and error.code in {401, 403}:
                why += "; `--key` takes a key with the scope `index`, or the token of the page"
            raise ShelfFailed(why) from error
        failed = self.wait(within_s=within_s)
        if failed or self.jobs:
            raise ShelfFailed("what was sent before the run was not indexed; see `colloquy jobs`")

    def wait(self, *, within_s: float) -> list[str]:
        """Waits for the jobs; returns those that ended badly. `jobs` keeps what has not ended."""
        give_up = time.monotonic() + within_s
        failed = []
        while self.jobs:
            for job in sorted(self.jobs):
                state = self._state(job)
                if state in FINAL:
                    self.jobs.discard(job)
                if state in FINAL - {"done"}:
                    failed.append(job)
            if not self.jobs or time.monotonic() > give_up:
                break
            time.sleep(_LOOK_EVERY_S)
        return failed

    def drop(self) -> None:
        """Whether it is there or not."""
        try:
            self._call("DELETE", f"/v1/collections/{self.name}", None)
        except urllib.error.HTTPError as answer:
            if answer.code != 404:
                raise

    def _state(self, job: str) -> str | None:
        try:
            return str(self._call("GET", f"/v1/jobs/{job}", None)["state"])
        except OSError:  # full, or away: asked again
            return None

    def _call(self, method: str, path: str, body: Any) -> Any:
        content = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | dict(self.headers)
        request = urllib.request.Request(  # noqa: S310
            self.host + path, data=content, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=_CALL_S) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
