"""The spaces of the installation, as the retriever has them now."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from colloquy.contracts.retrieval import Spaces as SpacesAnswer
from colloquy.contracts.retrieval import SpaceState
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.problems import ServiceError

_REMEMBERED_S = 10.0
_DOUBTED_S = 0.5


@dataclass(slots=True)
class Spaces:
    """Asks the retriever now and then; while it is away, what it said last holds."""

    client: ServiceClient
    names: list[str]
    _models: Mapping[str, str] = field(default_factory=dict)
    _asked_at: float = float("-inf")

    async def marked(self, spaces: Sequence[SpaceState]) -> list[SpaceState]:
        """`spaces`, each with whether its model is the one that there is now."""
        if not self._agrees(spaces, await self._known(_REMEMBERED_S)):
            await self._known(_DOUBTED_S)  # it may have changed since it was asked for
        return [
            space.model_copy(update={"current": self._agrees([space], self._models)})
            for space in spaces
        ]

    async def _known(self, remembered_s: float) -> Mapping[str, str]:
        """The model of each space that is ready, by its revision."""
        if time.monotonic() > self._asked_at + remembered_s:
            self._asked_at = time.monotonic()
            try:
                told = await self.client.get("/v1/spaces", SpacesAnswer)
            except ServiceError:
                return self._models
            self._models = {space.name: space.model for space in told.spaces if space.ready}
        return self._models

    @staticmethod
    def _agrees(spaces: Sequence[SpaceState], models: Mapping[str, str]) -> bool:
        """A model that is not there right now is no other model."""
        return all(models.get(s.name, s.revision) == s.revision for s in spaces)
