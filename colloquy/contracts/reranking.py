"""What the gateway asks the reranker. Pictures are blob references; the tenant is the server's."""

from typing import Annotated, Literal

from pydantic import Field

from colloquy.contracts.content import Part
from colloquy.contracts.contract import Contract
from colloquy.contracts.generation import Tenant, Usage

MAX_CANDIDATES = 1_000
Parts = Annotated[list[Part], Field(min_length=1, max_length=256)]


class Rerank(Contract):
    """Scores candidates against a query.

    Attributes:
        query: text and pictures, pictures first as published; the reranker adds the instruction
            of its protocol and tidies the text.
        candidates: each text and pictures in their order. Where no instruction is given they are
            fragments of dialogues and shown to the letter; with one, a candidate of a single text
            is tidied as published.
        mode: pointwise asks P(Yes) for each; listwise asks which of (at most ten) is best and
            scores from the digits' probabilities.
        instruction: what is looked for, before the query's text; null takes the reranker's own,
            an empty one none (as where the text has it already).
    """

    tenant: Tenant
    query: Parts
    candidates: list[Parts] = Field(min_length=1, max_length=MAX_CANDIDATES)
    mode: Literal["pointwise", "listwise"] = "pointwise"
    instruction: str | None = Field(default=None, max_length=1_024)


class Reranked(Contract):
    """Attributes:
    scores: of each candidate in the order given, in [0, 1]; null where none was given in time.
        Pointwise: P(Yes). Listwise: the probability of its number; of more candidates than one
        list holds, only the first ones are listed.
    degraded: `rerank-partial` when the deadline left candidates without a score;
        `candidate-trimmed` when one was longer than the model's context, or had more pictures.
    """

    scores: list[float | None]
    model: str
    degraded: list[str] = Field(default_factory=list)
    cached: int = Field(description="Scores that were known.")
    usage: Usage
