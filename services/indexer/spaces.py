"""The spaces of the installation, as the retriever has them now."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from colloquy.contracts.retrieval import Spaces as SpacesAnswer
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.problems import ServiceError

_REMEMBERED_S = 10.0


@dataclass(slots=True)
class Spaces:
    """Asks the retriever now and then; while it is away, what it said last holds."""

    client: ServiceClient
    names: list[str]
    _models: Mapping[str, str] = field(default_factory=dict)
    _asked_at: float = float("-inf")

    async def models(self) -> Mapping[str, str]:
        """The model of each space that is ready, by its revision."""
        if time.monotonic() > self._asked_at + _REMEMBERED_S:
            self._asked_at = time.monotonic()
            try:
                told = await self.client.get("/v1/spaces", SpacesAnswer)
            except ServiceError:
                return self._models
            self._models = {space.name: space.model for space in told.spaces if space.ready}
        return self._models
