"""How well candidates meet a query: P(Yes) of each, or the probability of its number in a list."""

from collections.abc import Sequence
from functools import partial

from colloquy.contracts.content import ImagePart
from colloquy.contracts.generation import Usage
from colloquy.contracts.reranking import Rerank, Reranked
from colloquy.engine.serving.ask import TaskModel
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Content, Family
from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import DeadlineExceeded, Malformed
from services.reranker.admission import Admission
from services.reranker.answers import Answers, CannotScore
from services.reranker.asking import Asking
from services.reranker.contents import candidate_of, query_of
from services.reranker.in_time import done_in_time
from services.reranker.metrics import Metrics
from services.reranker.pictures import RequestPictures
from services.reranker.score_cache import Score, ScoreCache, Source, Told
from services.reranker.settings import Tuning
from services.reranker.trimming import TRIMMED

PARTIAL = "rerank-partial"
_CALLS = {"pointwise": 1, "listwise": 2}
"""The most that one question makes at once."""
_ALONE = (Told(Score((1.0,), trimmed=False), Usage()), Source.CACHED)
"""The only candidate of a list is its best with certainty."""


class RerankCandidates:
    """The use case.

    Args:
        admission: of requests to the engine's queue.
    """

    def __init__(
        self,
        model: TaskModel,
        family: Family,
        answers: Answers,
        pictures: RequestPictures,
        admission: Admission,
        tuning: Tuning,
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._family: Family = family
        self._answers = answers
        self._pictures = pictures
        self._admission = admission
        self._tuning = tuning
        self._metrics = metrics
        self._cache = ScoreCache(tuning.cached_scores)

    async def __call__(self, request: Rerank) -> Reranked:
        """Scores the candidates, in the order given.

        Raises:
            BlobMissing, BadImage: a picture cannot be had; its place is named.
            DeadlineExceeded: not one score was given in time. Others as `TaskModel.ask`.
        """
        self._metrics.candidates.labels(request.mode).observe(len(request.candidates))
        if not any(isinstance(part, ImagePart) or part.text.strip() for part in request.query):
            raise Malformed("query: there is neither text nor a picture")
        version = self._model.name
        instruction = (
            lamra.FRAGMENT_INSTRUCTION if request.instruction is None else request.instruction
        )
        asking = Asking(
            model=self._model,
            version=version,
            tokens=await self._answers.of(version),
            family=self._family,
            mode=request.mode,
            inquiry=await self._pictures.open(request),
            query=query_of(request.query, instruction),
        )
        tidied = request.instruction is not None
        candidates = [candidate_of(parts, tidied=tidied) for parts in request.candidates]
        questions = _questions(asking, candidates)
        if request.mode == "listwise" and len(questions[0]) == 1:
            return self._answer(request, version, [_ALONE])
        return self._answer(request, version, await self._find(asking, questions))

    async def _find(
        self, asking: Asking, questions: Sequence[Sequence[Content]]
    ) -> list[tuple[Told, Source] | None]:
        """Asks what is not known; None where the time was up."""
        keys = [asking.key(shown) for shown in questions]
        at_once = self._tuning.candidates_at_once
        unknown = len({key for key in keys if self._cache.known(key) is None})
        with self._admission.take(min(unknown, at_once) * _CALLS[asking.mode]):
            found = await done_in_time(
                [
                    partial(self._cache.find, key, partial(asking.ask, shown))
                    for key, shown in zip(keys, questions, strict=True)
                ],
                at_once=at_once,
                left_s=self._left_s(),
            )
        if not any(found):
            raise DeadlineExceeded("no candidate was scored in time")
        return found

    def _left_s(self) -> float | None:
        """Until the scores that there are must be answered with."""
        deadline = current_deadline()
        if deadline is None:
            return None
        return max(0.0, deadline.left_s() - self._tuning.spare_ms / 1_000)

    def _answer(
        self, request: Rerank, version: str, found: Sequence[tuple[Told, Source] | None]
    ) -> Reranked:
        scores: list[float | None] = []
        cached, missing = 0, found.count(None)
        usage, trimmed = Usage(), False
        for one in found:
            if one is None:
                scores.append(None)
                self._metrics.scores.labels(request.mode, "late").inc()
                continue
            told, source = one
            scores += told.score.values
            trimmed = trimmed or told.score.trimmed
            self._metrics.scores.labels(request.mode, source.value).inc(len(told.score.values))
            if source is Source.CACHED:
                cached += len(told.score.values)
            elif source is Source.ASKED:
                usage = _sum(usage, told.usage)
        # Of a list only the first candidates are shown.
        scores += [None] * (len(request.candidates) - len(scores))
        if trimmed:
            self._metrics.trimmed.inc()
        degraded = [PARTIAL] * bool(missing) + [TRIMMED] * trimmed
        return Reranked(scores=scores, model=version, degraded=degraded, cached=cached, usage=usage)


def _questions(asking: Asking, candidates: list[Content]) -> list[list[Content]]:
    """What is shown together: each candidate alone, or the first ones of all in one list.

    Raises:
        CannotScore: the tokenizer does not tell numbers apart.
    """
    if asking.mode == "pointwise":
        return [[candidate] for candidate in candidates]
    most = asking.tokens.most_listed
    if not most:
        raise CannotScore("the model's tokenizer does not tell the numbers of a list apart")
    return [candidates[:most]]


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        model_calls=one.model_calls + other.model_calls,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
    )
