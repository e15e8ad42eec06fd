"""Collections, ingestion and jobs: the public capability."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from colloquy.contracts.content import Dialogue, Utterance, Value
from colloquy.contracts.contract import Contract
from colloquy.contracts.fragments import Label, Name
from colloquy.contracts.retrieval import Kind, SpaceName, SpaceState

MAX_ITEMS = 10_000
JobState = Literal["receiving", "queued", "running", "cancelling", "done", "cancelled", "failed"]
ItemState = Literal["queued", "running", "indexed", "failed", "cancelled"]
FINAL = frozenset({"done", "cancelled", "failed"})


class CollectionSpec(Contract):
    """Attributes:
    spaces: null takes every space of the installation.
    retention_days: a dialogue that was not changed for so long is deleted.
    """

    kind: Kind = "dialogues"
    spaces: list[SpaceName] | None = Field(default=None, min_length=1, max_length=8)
    retention_days: int | None = Field(default=None, ge=1, le=36_500, strict=True)


class Collection(Contract):
    name: Name
    kind: Kind
    spaces: list[SpaceState]
    retention_days: int | None
    dialogues: int = Field(description="Indexed and searchable.")
    fragments: int
    pending: int = Field(description="Dialogues that are accepted and not yet searchable.")
    created: datetime


class CollectionList(Contract):
    collections: list[Collection]
    next: str | None = None


class Accepted(Contract):
    """Everything that was accepted is on disk; `failed` items are in the job's `errors`."""

    job: str
    accepted: int
    failed: int = 0
    request_id: str


class ItemError(Contract):
    """Attributes:
    item: position in the request, from 0; null for work that no request brought.
    line: of the body where the item begins, from 1.
    at: the place in the item, `utterances/3/content`.
    """

    item: int | None
    line: int | None = None
    dialogue_id: str | None = None
    at: str = ""
    why: str


class JobCounts(Contract):
    total: int = 0
    indexed: int = 0
    unchanged: int = Field(default=0, description="Of the indexed, those that were there already.")
    degraded: int = Field(
        default=0, description="Of the indexed, those that no model split: cut into windows."
    )
    failed: int = 0
    cancelled: int = 0


class Job(Contract):
    id: str
    kind: Literal["ingest", "append", "delete", "erase", "reindex", "retention"]
    collection: str | None
    state: JobState = Field(
        description="`cancelling` is told until what was begun has ended, then `cancelled`; what "
        "`done`, `cancelled` or `failed` says is final."
    )
    counts: JobCounts
    errors: list[ItemError] = Field(description="The first 100.")
    receipt: dict[str, int] | None = Field(default=None, description="Of an erasure: what went.")
    created: datetime
    updated: datetime
    eta_s: float | None = None
    request_id: str | None = None


class JobList(Contract):
    jobs: list[Job]
    next: str | None = None


class Append(Contract):
    """Turns to add at the end of a dialogue; their ids are given."""

    utterances: list[Utterance] = Field(min_length=1, max_length=1_000)
    expected_turns: int | None = Field(
        default=None,
        ge=0,
        strict=True,
        description="Refused with 409 when the dialogue has another number.",
    )


class StoredDialogue(Contract):
    """A dialogue as it is kept, and its fragments in the index."""

    dialogue: Dialogue
    revision: int
    state: ItemState
    fragments: list[list[int]] = Field(description="Utterance ids of each.")
    updated: datetime
    request_id: str | None = None


class DialogueSummary(Contract):
    id: str
    turns: int
    images: int
    state: ItemState
    updated: datetime


class DialogueList(Contract):
    dialogues: list[DialogueSummary]
    next: str | None = None


class Erase(Contract):
    """Whose traces go: a speaker's, or everything with this metadata, in every collection."""

    speaker: Label | None = None
    metadata: dict[Annotated[str, Field(max_length=128)], Value] | None = Field(
        default=None, min_length=1, max_length=16
    )

    @model_validator(mode="before")
    @classmethod
    def exactly_one(cls, data: Any) -> Any:
        if isinstance(data, dict) and (data.get("speaker") is None) == (
            data.get("metadata") is None
        ):
            raise ValueError("give exactly one of `speaker` and `metadata`")
        return data
