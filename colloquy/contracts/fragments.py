"""The public capability: retrieve and split dialogue fragments."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from colloquy.contracts.content import Dialogue, ImageUrl, Utterance, Value
from colloquy.contracts.contract import Contract

MAX_QUERY_CHARACTERS = 4_096
# Longer than any profile allows; a number beyond it is a mistake, not patience.
MAX_TIMEOUT_MS = 86_400_000
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Label = Annotated[str, Field(min_length=1, max_length=256)]


class Filter(Contract):
    """Which dialogues of a collection may answer; every given field must hold."""

    dialogue_id: list[Label] | None = Field(default=None, max_length=1_000)
    speaker: list[Label] | None = Field(default=None, max_length=100)
    after: datetime | None = None
    before: datetime | None = None
    metadata: (
        dict[Annotated[str, Field(max_length=128)], Annotated[list[Value], Field(max_length=1_000)]]
        | None
    ) = Field(default=None, max_length=16)


class FragmentSearchRequest(Contract):
    """Search inside `dialogue`, or in `collection`: exactly one of the two."""

    query: str | None = Field(default=None, max_length=MAX_QUERY_CHARACTERS)
    query_image: ImageUrl | None = None
    dialogue: Dialogue | None = None
    collection: Name | None = None
    filter: Filter | None = None
    top_k: int = Field(default=5, ge=1, le=100, strict=True)
    candidates: int | None = Field(default=None, ge=1, le=1_000, strict=True)
    methods: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]] | None = Field(
        default=None,
        min_length=1,
        max_length=9,
        description="Spaces of the collection and `bm25`; null takes all that the query allows.",
    )
    rerank: Literal["none", "pointwise", "listwise"] | None = None
    refine: bool = Field(default=True, strict=True)
    merge: bool = Field(
        default=True,
        strict=True,
        description="One fragment for each dialogue; false gives every candidate by itself.",
    )
    timeout_ms: int | None = Field(default=None, ge=1, le=MAX_TIMEOUT_MS, strict=True)
    as_: list[Label] | None = Field(default=None, alias="as", max_length=64)

    @model_validator(mode="after")
    def says_what_to_search_and_where(self) -> Self:
        if (self.dialogue is None) == (self.collection is None):
            raise ValueError("give exactly one of `dialogue` and `collection`")
        if not (self.query and self.query.strip()) and self.query_image is None:
            raise ValueError("give `query`, `query_image` or both; a blank query finds nothing")
        if self.dialogue is not None:
            for name in ("filter", "candidates", "methods", "rerank"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` belongs to a search in a `collection`")
            if not self.merge:
                raise ValueError("`merge` belongs to a search in a `collection`")
        return self


class Scores(Contract):
    """See the table in the API's description; null where a step did not run."""

    retrieval: float | None = None
    rerank: float | None = None
    final: float | None = None


class FoundFragment(Contract):
    dialogue_id: str | None
    utterance_ids: list[int]
    image_ids: list[int]
    utterances: list[Utterance]
    scores: Scores


class FragmentSearchResponse(Contract):
    fragments: list[FoundFragment]
    degraded: list[str] = Field(description="Steps that were left out or cut short, by name.")
    models: dict[str, str] = Field(description="The version that did each task.")
    timings_ms: dict[str, float]
    request_id: str


class SplitRequest(Contract):
    dialogue: Dialogue
    timeout_ms: int | None = Field(default=None, ge=1, le=MAX_TIMEOUT_MS, strict=True)


class TopicFragment(Contract):
    utterance_ids: list[int]
    image_ids: list[int]


class SplitResponse(Contract):
    """Every utterance is in exactly one fragment."""

    fragments: list[TopicFragment]
    degraded: list[str]
    models: dict[str, str]
    timings_ms: dict[str, float]
    request_id: str
