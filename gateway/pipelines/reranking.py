"""Ranking for others' clients: read their shapes → take the pictures in → rank → write as asked."""

from collections.abc import Sequence
from typing import Any

from colloquy.contracts.embeddings import (
    EmbeddingUsage,
    RerankRequest,
    RerankResponse,
    RerankResult,
)
from colloquy.contracts.generation import TaskModel
from colloquy.contracts.reranking import Rerank, Reranked
from colloquy.media.failures import at_place
from colloquy.protocols.lamra import MAX_LISTED
from colloquy.servicekit.context import request_id
from colloquy.servicekit.problems import UpstreamFailed
from gateway import dialects
from gateway.pictures import Pictures
from gateway.problems import ModelMissing, Unsupported
from gateway.reranker import Reranker

_META = {"api_version": {"version": "2"}, "billed_units": {"search_units": 0}}
"""What Cohere's clients read beside the results; nothing is billed."""


class Reranking:
    def __init__(self, reranker: Reranker | None, pictures: Pictures) -> None:
        self._reranker = reranker
        self._pictures = pictures

    async def rerank(self, tenant: str, request: RerankRequest) -> RerankResponse:
        """Orders the documents by how well they meet the query, best first.

        Raises:
            ModelMissing: there is no such model. Malformed: the query or a document is none.
            Unsupported: more documents than one list holds. ServiceError: a picture is wrong, or a
                step fails.
        """
        if self._reranker is None:
            raise Unsupported("this installation has no reranker")
        if request.mode == "listwise" and len(request.documents) > MAX_LISTED:
            raise Unsupported(f"a list has at most {MAX_LISTED} documents; ask `pointwise`")
        contents = [
            dialects.pictures_first(dialects.content_of(request.query, "body/query")),
            *(
                dialects.content_of(document, f"body/documents/{place}")
                for place, document in enumerate(request.documents)
            ),
        ]
        if request.return_documents:
            for place, document in enumerate(request.documents):
                dialects.check_depth(document, f"body/documents/{place}")
        if request.model is not None:
            check_model(request.model, (await self._reranker.tasks()).tasks)
        query, *candidates = await self._pictures.take_in_parts(tenant, contents)
        answer = await self._reranker.rerank(
            Rerank(
                tenant=tenant,
                query=query,
                candidates=candidates,
                mode=request.mode,
                instruction=request.instruction,
            )
        )
        if len(answer.scores) != len(candidates):
            raise UpstreamFailed("the reranker did not answer every document")
        return RerankResponse(
            id=request_id(),
            results=best_first(answer, request),
            model=answer.model,
            usage=EmbeddingUsage(
                prompt_tokens=answer.usage.prompt_tokens,
                total_tokens=answer.usage.prompt_tokens + answer.usage.output_tokens,
            ),
            meta=_META,
            models={"rank": answer.model},
            degraded=answer.degraded,
            request_id=request_id(),
        )


def check_model(model: str, tasks: Sequence[TaskModel]) -> None:
    """Raises:
    ModelMissing: `model` is neither the task nor its version.
    """
    if not any(model in (task.task, task.model) for task in tasks):
        raise at_place(ModelMissing, "body/model", "is none of what `GET /v1/models` lists")


def best_first(answer: Reranked, request: RerankRequest) -> list[RerankResult]:
    """The best `top_n`. A document without a score (the time was up) is not among them."""
    scored = [(score, place) for place, score in enumerate(answer.scores) if score is not None]
    scored.sort(key=lambda one: (-one[0], one[1]))
    return [
        RerankResult(
            index=place,
            relevance_score=score,
            document=_shown(request.documents[place]) if request.return_documents else None,
        )
        for score, place in scored[: request.top_n]
    ]


def _shown(document: Any) -> Any:
    """A document as the caller sent it, a text inside an object, as Jina and Cohere answer."""
    if isinstance(document, str):
        return {"text": document}
    return {"content": document} if isinstance(document, list) else document
