"""Readiness: the gateway's own parts and the generator behind it."""

import asyncio

from colloquy.contracts.operation import Check, Readiness
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import ServiceError
from gateway.generator import Generator
from gateway.pictures import Pictures

_ASK_WITHIN_MS = 2_500


class Health:
    def __init__(self, generator: Generator, pictures: Pictures) -> None:
        self._generator = generator
        self._pictures = pictures

    async def readiness(self) -> Readiness:
        """Whether a request would be answered now, and what is in its way."""
        own, behind = await asyncio.gather(self._pictures.checks(), self._behind())
        checks = [*own, *behind]
        return Readiness(ready=all(check.ready for check in checks), checks=checks)

    async def _behind(self) -> list[Check]:
        try:
            async with start_deadline(_ASK_WITHIN_MS):
                answer = await self._generator.readiness()
        except ServiceError as error:
            return [Check(name="generator", ready=False, detail=error.detail or error.title)]
        return [Check(name="generator", ready=answer.ready), *answer.checks]
