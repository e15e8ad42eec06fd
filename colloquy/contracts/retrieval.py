"""What gateway and indexer ask the retriever. Pictures are blob references; the tenant is the
server's."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from colloquy.contracts.content import Part, Utterance, Value
from colloquy.contracts.contract import Contract
from colloquy.contracts.fragments import Filter, Label, Name
from colloquy.contracts.generation import Tenant

Kind = Literal["dialogues", "documents"]
SpaceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Parts = Annotated[list[Part], Field(min_length=1, max_length=64)]
BM25 = "bm25"
MAX_UPSERT = 256
RANK_CONSTANT = 60
"""Of reciprocal rank fusion as published: a place is worth 1/(60 + place), places from 1. It keeps
one method's first place from outweighing two second places."""
MAX_PAGE = 1_000


class CollectionRef(Contract):
    """One collection of one tenant; every store keeps collections apart by both."""

    tenant: Tenant
    collection: Name


class StagedRef(CollectionRef):
    """Attributes:
    staged: the copy that a reindex builds beside the collection that is searched.
    """

    staged: bool = False


class OpenCollection(StagedRef):
    """Makes sure that the collection is there. Other spaces than it has are a conflict."""

    kind: Kind = "dialogues"
    spaces: list[SpaceName] = Field(min_length=1, max_length=8)


class PromoteStaged(CollectionRef):
    """From now on the staged copy is the collection; what it replaces goes. At once and whole."""


class SpaceState(Contract):
    """A space of a collection: vectors of two revisions are never compared.

    Attributes:
        revision: of the model, `clip@2`.
        current: false when the profile now has another model; `colloquy reindex` renews it.
    """

    name: str
    revision: str
    dimensions: int
    current: bool = True


class CollectionState(Contract):
    collection: Name
    kind: Kind
    spaces: list[SpaceState]
    fragments: int


class FragmentRecord(Contract):
    """A fragment as it is indexed.

    Attributes:
        id: made of tenant, collection, dialogue and place, so that sending it again changes
            nothing.
        revision: of the dialogue; a newer one replaces what an older one left.
        utterances: with the ids of their dialogue; pictures are blob references.
        image_ids: of the dialogue, in the order in which `utterances` show them.
    """

    id: UUID
    dialogue_id: Label
    number: int = Field(ge=0, description="Of the fragment in its dialogue.")
    revision: int = Field(ge=0)
    utterances: list[Utterance] = Field(min_length=1)
    image_ids: list[int]
    metadata: dict[str, Value] = Field(default_factory=dict)
    acl: list[str] = Field(default_factory=list)


class UpsertFragments(StagedRef):
    """Embeds and stores; answered only when what was stored survives a crash."""

    fragments: list[FragmentRecord] = Field(min_length=1, max_length=MAX_UPSERT)


class FragmentFault(Contract):
    """A fragment that cannot be embedded; the others were stored."""

    id: UUID
    why: str


class Upserted(Contract):
    stored: int
    faults: list[FragmentFault] = Field(default_factory=list)
    models: dict[str, str] = Field(description="Revision of each space.")


class Selection(Contract):
    """Which fragments; every given field must hold. Nothing given selects all."""

    ids: list[UUID] | None = Field(default=None, max_length=10_000)
    filter: Filter | None = None
    as_: list[Label] | None = Field(
        default=None, alias="as", description="Labels held; null sees everything."
    )
    before_revision: int | None = Field(
        default=None, description="Only what an older revision of the dialogue left."
    )


class DeleteFragments(StagedRef):
    """Deletes what is selected. An empty selection is refused: drop the collection instead."""

    selection: Selection


class Counted(Contract):
    count: int


class CountFragments(StagedRef):
    selection: Selection = Selection()


class ScrollFragments(StagedRef):
    """Reads fragments page by page in order of their ids."""

    selection: Selection = Selection()
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)
    cursor: UUID | None = None


class FragmentPage(Contract):
    fragments: list[FragmentRecord]
    next: UUID | None


class Retrieve(CollectionRef):
    """Hybrid search: every space and BM25 propose, reciprocal rank fusion selects and orders.

    Attributes:
        methods: names of spaces and `bm25`; null takes all that the query allows (a query without
            text has no `bm25`).
        exact: compare with every vector instead of using the graph.
    """

    query: str | None = Field(default=None, max_length=4_096)
    query_image: str | None = Field(default=None, description="A blob reference.")
    selection: Selection = Selection()
    limit: int = Field(default=20, ge=1, le=1_000)
    methods: list[str] | None = Field(default=None, min_length=1, max_length=9)
    exact: bool = False


class Candidate(Contract):
    """A fragment that retrieval proposes.

    Attributes:
        similarity: cosine in the collection's first space that was searched; null where only
            BM25 was.
        score: what orders: RRF when several methods took part, each times its weight, else the
            method's own score.
        by_method: the score in each method that proposed it.
    """

    fragment: FragmentRecord
    similarity: float | None
    score: float
    by_method: dict[str, float]


class Retrieved(Contract):
    candidates: list[Candidate]
    models: dict[str, str]
    degraded: list[str] = Field(default_factory=list, description="Methods left out, by name.")
    timings_ms: dict[str, float] = Field(default_factory=dict)


class EmbedItem(Contract):
    """Text and pictures to be embedded together, in order.

    Attributes:
        role: a query gets the instruction of its model's protocol, a document none.
    """

    content: Parts
    role: Literal["query", "document"] = "document"


class Embed(Contract):
    tenant: Tenant
    space: str = Field(description="A space, or its revision `clip@2`.")
    items: list[EmbedItem] = Field(min_length=1, max_length=512)


class Embedded(Contract):
    """Attributes:
    vectors: (items, dimensions), each of length 1.
    """

    vectors: list[list[float]]
    model: str
    tokens: int = Field(description="Read by the model, as far as it says.")


class SpaceInfo(Contract):
    name: str
    model: str
    kind: Literal["open_clip", "task"]
    dimensions: int
    ready: bool
    created: int = Field(
        default=0, description="When the model was made, in Unix seconds; 0 where nobody knows."
    )


class Spaces(Contract):
    spaces: list[SpaceInfo]


class Done(Contract):
    """An answer that holds nothing."""


class CollectionsOf(Contract):
    """Asks for every collection of a tenant; a staged copy is none."""

    tenant: Tenant


class CollectionStates(Contract):
    collections: list[CollectionState]


class Optimised(Contract):
    """Attributes:
    before, after: fragments that only an exact scan found, and what is left of them.
    """

    before: int
    after: int
    seconds: float


TimeRange = tuple[datetime | None, datetime | None]
