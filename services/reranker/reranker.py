"""The reranker as a whole: its engine, its task, and whether they are ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from colloquy.contracts.generation import TaskModels
from colloquy.contracts.operation import Check, Readiness
from colloquy.engine.serving.ask import TaskModel
from colloquy.engine.serving.opened import Opened, Wanted, open_engines
from colloquy.protocols.lamra import MAX_PIXELS
from colloquy.servicekit.problems import ServiceError
from services.reranker.admission import Admission
from services.reranker.answers import Answers
from services.reranker.metrics import Metrics
from services.reranker.pictures import RequestPictures
from services.reranker.probing import ProbeAsker
from services.reranker.rerank import RerankCandidates
from services.reranker.settings import TASK, Settings

_LOOK_S = 2.0


class Reranker:
    """What the routes reach."""

    def __init__(self, opened: Opened, settings: Settings, metrics: Metrics) -> None:
        task, engine = settings.task, opened.engines[settings.task.engine]
        self._opened = opened
        self._model: TaskModel = opened.models[TASK]
        can_tokenize = engine.client.capabilities.tokenize
        self._answers = Answers(self._model.token_ids if can_tokenize else None)
        self.rerank = RerankCandidates(
            self._model,
            task.family,
            self._answers,
            RequestPictures(
                opened.pictures,
                max_pixels=min(task.max_pixels, MAX_PIXELS),
                most=settings.tuning.max_pictures,
            ),
            Admission(engine.queue.most),
            settings.tuning,
            metrics,
        )

    async def readiness(self) -> Readiness:
        checks = self._opened.checks()
        if all(check.ready for check in checks):
            checks.append(await self._check_answers())
        return Readiness(ready=all(check.ready for check in checks), checks=checks)

    def tasks(self) -> TaskModels:
        return TaskModels(tasks=self._opened.served())

    async def _check_answers(self) -> Check:
        """Whether the model's answers can be told apart; asked once for each version."""
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._answers.of(self._model.name)
        except ServiceError as error:
            return Check(name=f"answers:{TASK}", ready=False, detail=error.detail)
        except TimeoutError:
            return Check(name=f"answers:{TASK}", ready=False, detail="the engine is slow to tell")
        return Check(name=f"answers:{TASK}", ready=True)


@asynccontextmanager
async def open_reranker(settings: Settings, metrics: Metrics) -> AsyncIterator[Reranker]:
    """Opens client and decoders and begins to watch the engine; waits for nothing."""
    wanted = Wanted(
        tasks={TASK: settings.task},
        engines={settings.task.engine: settings.engine},
        registry=settings.registry,
        blobs=settings.blobs,
        blob_key=settings.blob_key,
        media=settings.media,
        tuning=settings.tuning,
    )
    async with open_engines(wanted, metrics, ProbeAsker) as opened:
        yield Reranker(opened, settings, metrics)
