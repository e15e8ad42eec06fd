"""Readiness: the gateway's own parts and the services behind it."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from colloquy.contracts.operation import Check, Readiness
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import ServiceError
from gateway.pictures import Pictures

_ASK_WITHIN_MS = 2_500


class Behind(Protocol):
    """A service that says whether it is ready."""

    async def readiness(self) -> Readiness: ...


class Health:
    """Args:
    services: by name; those that the profile does not have are None.
    """

    def __init__(self, pictures: Pictures, services: Mapping[str, Behind | None]) -> None:
        self._pictures = pictures
        self._services = {name: one for name, one in services.items() if one is not None}

    async def readiness(self) -> Readiness:
        """Whether a request would be answered now, and what is in its way."""
        own, *behind = await asyncio.gather(
            self._pictures.checks(),
            *(_ask(name, service) for name, service in self._services.items()),
        )
        checks = list(own)
        for name, part in zip(self._services, behind, strict=True):
            taken = {check.name for check in checks}
            for check in part:
                # Several services have a part of one name: then it is said whose it is.
                shown = f"{name} {check.name}" if check.name in taken else check.name
                checks.append(check.model_copy(update={"name": shown}))
        return Readiness(ready=all(check.ready for check in checks), checks=checks)


async def _ask(name: str, service: Behind) -> list[Check]:
    try:
        async with start_deadline(_ASK_WITHIN_MS):
            answer = await service.readiness()
    except ServiceError as error:
        return [Check(name=name, ready=False, detail=error.detail or error.title)]
    return [Check(name=name, ready=answer.ready), *answer.checks]
