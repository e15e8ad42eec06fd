"""The stack that an evaluation writes to: where it is, what opens it, and the corpus inside it."""

import argparse
import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colloquy.cli.failure import CommandFailed
from colloquy.cli.gateway import KEY_VARIABLE, Gateway
from colloquy.cli.index import Outcome, run
from colloquy.cli.ingestion import ensure_collection
from colloquy.cli.profiles import find_profile
from colloquy.local.control import Stack as LocalStack
from colloquy.profile import Profile
from training.evaluate.corpus_set import HeldOut
from training.evaluate.stack import Stack, StackFailed, gateway_url

PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A stack that answers at `url`, opened by `key`."""

    profile: Profile
    url: str
    key: str | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Standing":
        """The stack that the arguments name: by address and key, or the one that is up here.

        Raises:
            ProfileError, CommandFailed: there is no such profile.
        """
        path = find_profile(args.profile)
        profile = Profile.load(path)
        key = args.key or os.environ.get(KEY_VARIABLE)
        if args.url:
            return cls(profile, args.url, key)
        state = LocalStack(profile, path).state()
        if state is None:
            return cls(profile, gateway_url(profile), key)
        return cls(profile, state.api_url, key or state.page_token)

    def stack(self, concurrency: int) -> Stack:
        return Stack(self.url, key=self.key, concurrency=concurrency)

    async def holding(self, held_out: HeldOut, name: str | None) -> dict[str, Any]:
        """The collection with the whole corpus in it; what is missing is sent first.

        Args:
            name: of the collection; None takes the corpus' own.

        Raises:
            StackFailed: it cannot be filled, or holds something else.
        """
        try:
            return await asyncio.to_thread(self._filled, held_out, name or held_out.collection)
        except CommandFailed as failure:
            raise StackFailed(str(failure)) from failure

    def _filled(self, held_out: HeldOut, name: str) -> dict[str, Any]:
        wanted = len(held_out.corpus.dialogues)
        with Gateway(self.url, self.key, patience_s=PATIENCE_S) as gateway:
            collection = ensure_collection(gateway, name)
            if collection["dialogues"] == wanted and not collection["pending"]:
                return collection
            outcome = run(gateway, name, [("corpus", Path(), held_out.dialogues())])
            if outcome.failed:
                raise StackFailed(_why(outcome))
            collection = gateway.get(f"/v1/collections/{name}")
        if collection["dialogues"] != wanted:
            raise StackFailed(
                f"collection {name} holds {collection['dialogues']} dialogues, not the {wanted} of "
                "the corpus: name another one with `--collection`"
            )
        return collection


def _why(outcome: Outcome) -> str:
    first = f", the first: {outcome.faults[0][1]}" if outcome.faults else ""
    return f"{outcome.failed} dialogues of the corpus cannot be indexed{first}"
