"""M-BEIR's contents as vectors and judgements of the running stack."""

import base64
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from colloquy.contracts.embeddings import EmbeddingsRequest, RerankRequest
from training.evaluate.mbeir_files import BadFile, Candidate, Query, Side
from training.evaluate.stack import Ask, Reply, Stack, StackFailed

EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"
BATCH = 16
"""Contents of one call, so that its pictures fit into one body."""
_WINDOW = 256  # calls that are prepared at a time: pictures of all of them lie in memory

Vectors = NDArray[np.float32]


@dataclass
class Models:
    """The stack's models, as an evaluation asks them.

    Attributes:
        space: to embed in; None takes the stack's first.
        seen: the versions that answered.
    """

    stack: Stack
    space: str | None
    seen: dict[str, str] = field(default_factory=dict)

    async def embed(self, sides: Sequence[tuple[str, Side]], label: str) -> Vectors:
        """(contents, dimensions), each row of length 1.

        A query has its instruction in its text already, so the model's own is never added.

        Args:
            sides: each with the name that an error gives it.

        Raises:
            StackFailed: one of them cannot be embedded. BadFile: a picture cannot be read.
        """
        parts: list[Vectors] = []
        starts = range(0, len(sides), BATCH)
        for first in range(0, len(starts), _WINDOW):
            asks = [
                _embedding(sides[start : start + BATCH], self.space)
                for start in starts[first : first + _WINDOW]
            ]
            for reply in await self.stack.ask_all(asks, label=label):
                parts.append(_matrix(reply.body))
                self._note(reply)
        vectors = np.concatenate(parts)
        if len(vectors) != len(sides):
            raise StackFailed(f"{label}: {len(vectors)} vectors for {len(sides)} contents")
        return vectors

    async def rank(
        self, asked: Sequence[tuple[Query, Sequence[Candidate]]], label: str
    ) -> list[list[float]]:
        """P(Yes) of each candidate of each query; 0 where the stack had no time for one.

        Raises:
            StackFailed, BadFile
        """
        scores: list[list[float]] = []
        for first in range(0, len(asked), _WINDOW):
            window = asked[first : first + _WINDOW]
            replies = await self.stack.ask_all(
                [_ranking(query, candidates) for query, candidates in window], label=label
            )
            for (_, candidates), reply in zip(window, replies, strict=True):
                row = [0.0] * len(candidates)
                for result in reply.body["results"]:
                    row[result["index"]] = float(result["relevance_score"])
                scores.append(row)
                self._note(reply)
        return scores

    def _note(self, reply: Reply) -> None:
        self.seen |= cast(Mapping[str, str], reply.body["models"])


def _embedding(sides: Sequence[tuple[str, Side]], space: str | None) -> Ask:
    body = EmbeddingsRequest(
        model=space,
        input=[content(side) for _, side in sides],
        encoding_format="base64",
        input_type="document",
    )
    return Ask(f"{sides[0][0]} and {len(sides) - 1} more", EMBEDDINGS, body)


def _ranking(query: Query, candidates: Sequence[Candidate]) -> Ask:
    body = RerankRequest(
        query=content(query.side),
        documents=[content(candidate.side) for candidate in candidates],
        mode="pointwise",
        instruction="",
    )
    return Ask(f"query {query.qid}", RERANK, body)


def content(side: Side) -> list[dict[str, Any]]:
    """Picture first, then text, as published.

    Raises:
        BadFile: the picture cannot be read.
    """
    parts: list[dict[str, Any]] = []
    if side.picture is not None:
        parts.append({"type": "image_url", "image_url": {"url": _data_url(side.picture)}})
    if side.text:
        parts.append({"type": "text", "text": side.text})
    return parts


def _data_url(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _matrix(body: Mapping[str, Any]) -> Vectors:
    rows = sorted(body["data"], key=lambda one: int(one["index"]))
    return np.stack([_vector(row["embedding"]) for row in rows])


def _vector(written: str | Iterable[float]) -> Vectors:
    """Base64 of 32-bit floats, the lowest byte first, or numbers."""
    if isinstance(written, str):
        return np.frombuffer(base64.b64decode(written), dtype="<f4").astype(np.float32)
    return np.array(list(written), dtype=np.float32)
