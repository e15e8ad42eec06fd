"""Vectors for others' clients: find the space → take the pictures in → embed → write as asked."""

import base64
import sys
from array import array
from collections.abc import Sequence

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.contracts.embeddings import (
    EmbeddingObject,
    EmbeddingsRequest,
    EmbeddingsResponse,
    EmbeddingUsage,
)
from colloquy.contracts.retrieval import Embed, EmbedItem, SpaceInfo
from colloquy.media.failures import at_place
from colloquy.servicekit.context import request_id
from colloquy.servicekit.problems import UpstreamFailed
from gateway import dialects
from gateway.pictures import Pictures, Placed
from gateway.problems import ModelMissing, Unsupported
from gateway.retriever import Retriever

MAX_INPUTS = 2_048
"""OpenAI's own bound."""

_CALL_ITEMS = 128
_QUERIES = frozenset({"query", "search_query", "retrieval.query"})


class Embeddings:
    def __init__(self, retriever: Retriever | None, pictures: Pictures) -> None:
        self._retriever = retriever
        self._pictures = pictures

    async def embed(self, tenant: str, request: EmbeddingsRequest) -> EmbeddingsResponse:
        """A vector of length 1 for each input.

        Raises:
            ModelMissing: there is no such space. Malformed: an input is none. Unsupported: the
                model has other dimensions. ServiceError: a picture is wrong, or a step fails.
        """
        if self._retriever is None:
            raise Unsupported("this installation has no embedding space")
        contents = _contents(request)
        space = space_named(request.model, (await self._retriever.spaces()).spaces)
        if request.dimensions not in (None, space.dimensions):
            raise Unsupported(f"vectors of {space.model} have {space.dimensions} dimensions")
        parts = await self._pictures.take_in_parts(tenant, contents)
        vectors: list[list[float]] = []
        tokens = 0
        for start in range(0, len(parts), _CALL_ITEMS):
            items = [_item(content, request) for content in parts[start : start + _CALL_ITEMS]]
            answer = await self._retriever.embed(
                Embed(tenant=tenant, space=space.name, items=items)
            )
            vectors += answer.vectors
            tokens += answer.tokens
        if len(vectors) != len(parts):
            raise UpstreamFailed("the retriever did not answer every input")
        return EmbeddingsResponse(
            data=[
                EmbeddingObject(index=place, embedding=_written(vector, request.encoding_format))
                for place, vector in enumerate(vectors)
            ],
            model=answer.model,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
            models={space.name: answer.model},
            request_id=request_id(),
        )


def space_named(model: str | None, spaces: Sequence[SpaceInfo]) -> SpaceInfo:
    """The space of that name or revision; the first where none is named.

    Raises:
        ModelMissing: there is none.
    """
    for space in spaces:
        if model is None or model in (space.name, space.model):
            return space
    raise at_place(ModelMissing, "body/model", "is none of what `GET /v1/models` lists")


def _contents(request: EmbeddingsRequest) -> list[list[Placed]]:
    if (request.input is None) == (request.messages is None):
        raise dialects.wrong("body", "give exactly one of `input` and `messages`")
    if request.messages is not None:
        return [dialects.of_messages(request.messages, "body/messages")]
    if isinstance(request.input, list) and len(request.input) > MAX_INPUTS:
        raise dialects.wrong("body/input", f"must have at most {MAX_INPUTS} items")
    return dialects.contents_of(request.input, "body/input")


def _item(content: list[TextPart | ImagePart], request: EmbeddingsRequest) -> EmbedItem:
    is_query = request.input_type in _QUERIES or request.task in _QUERIES
    return EmbedItem(content=content, role="query" if is_query else "document")


def _written(vector: list[float], encoding_format: str) -> list[float] | str:
    """As numbers, or as base64 of 32-bit floats, the lowest byte first."""
    if encoding_format == "float":
        return vector
    packed = array("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()
