"""What the gateway asks the indexer. Pictures are blob references; the tenant is the server's.

An ingestion has three calls: `OpenJob`, then `AddItems` as often as needed, then `SealJob`. Only
the seal acknowledges: a job that is never sealed leaves nothing behind.
"""

from typing import Literal

from pydantic import Field

from colloquy.contracts.collections import CollectionSpec, Erase, ItemError
from colloquy.contracts.content import Dialogue
from colloquy.contracts.contract import Contract
from colloquy.contracts.fragments import Label, Name
from colloquy.contracts.generation import Tenant
from colloquy.contracts.retrieval import CollectionRef


class PutCollection(CollectionRef):
    """Attributes:
    max_collections: of the tenant, this one included; null is no bound.
    """

    spec: CollectionSpec
    max_collections: int | None = Field(default=None, ge=1)


class ListCollections(Contract):
    tenant: Tenant
    limit: int = Field(default=100, ge=1, le=1_000)
    cursor: str | None = None


class OpenJob(CollectionRef):
    """Attributes:
    idempotency_key: of the request; with the same `body_sha256` the job that is there is given
        back, with another it is a conflict.
    """

    idempotency_key: str | None = Field(default=None, max_length=256)
    body_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class OpenedJob(Contract):
    job: str
    sealed: bool = Field(description="An earlier request with this key brought everything.")
    accepted: int = 0
    failed: int = 0


class Item(Contract):
    """Attributes:
    position: in the request, from 0.
    dialogue: with an id.
    """

    position: int = Field(ge=0)
    dialogue: Dialogue


class AddItems(Contract):
    tenant: Tenant
    job: str
    items: list[Item] = Field(default_factory=list, max_length=1_000)
    errors: list[ItemError] = Field(default_factory=list)


class JobRef(Contract):
    tenant: Tenant
    job: str


class SealJob(JobRef):
    pass


class AppendTurns(CollectionRef):
    """Attributes:
    dialogue: the new turns alone, numbered from 0.
    """

    dialogue_id: Label
    dialogue: Dialogue
    expected_turns: int | None = None
    idempotency_key: str | None = Field(default=None, max_length=256)
    body_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class DialogueRef(CollectionRef):
    dialogue_id: Label


class ListDialogues(CollectionRef):
    limit: int = Field(default=100, ge=1, le=1_000)
    cursor: str | None = None


class ListJobs(Contract):
    tenant: Tenant
    collection: Name | None = None
    limit: int = Field(default=50, ge=1, le=1_000)
    cursor: str | None = None


class EraseTraces(Contract):
    tenant: Tenant
    what: Erase


class Reindex(CollectionRef):
    """Embeds everything again, into a collection beside the one that is searched; it is searched
    when it is complete."""


class Summary(Contract):
    """Of the whole ledger, for operators and consistency checks."""

    state: Literal["ok"] = "ok"
    collections: int
    dialogues: int
    fragments: int
    pending: int
    failed: int
    jobs: dict[str, int]
