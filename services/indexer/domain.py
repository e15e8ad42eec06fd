"""What the indexer thinks in: work, dialogues as they are kept, the pieces they are indexed as."""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID, uuid5

from colloquy.contracts.content import Dialogue, TextPart, Utterance
from colloquy.contracts.retrieval import FragmentRecord
from colloquy.servicekit.problems import UpstreamFailed

Action = Literal["put", "delete", "erase", "copy", "renew"]
"""`put` a dialogue; `delete` it; `erase` a person from it; `copy` it into the staged collection;
`renew` what is searched from what the ledger has, where somebody may have written it wrongly."""

PUT: Action = "put"
DELETE: Action = "delete"
ERASE: Action = "erase"
COPY: Action = "copy"
RENEW: Action = "renew"
SPLIT_FAILED = "split-failed"
ERASED = "erased"
# Never change it: points that are stored are found by it.
_POINTS = UUID("6b7f2a52-55a1-4c0e-9d3b-7c0f5f6a0d11")


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment as it is to be indexed.

    Attributes:
        content_hash: of everything that its point is made of.
    """

    number: int
    utterance_ids: tuple[int, ...]
    content_hash: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A dialogue as the ledger keeps it; what is indexed of it agrees."""

    content: str
    content_hash: str
    revision: int
    turns: int
    blob_owner: str | None
    pieces: Mapping[int, Piece] = field(default_factory=dict)

    def dialogue(self) -> Dialogue:
        return Dialogue.model_validate_json(self.content)


@dataclass(frozen=True, slots=True)
class Work:
    """An item that this process has leased.

    Attributes:
        turns: of the content, kept when that is gone: no attempt left points beyond it.
        attempts: how often it was taken up, this time included.
        tried_s: in calls of its own that were given up for lack of time.
        why: the item failed already; what it left is being mended.
        spec: of the job, `{"speaker": …}`.
        spaces: of the collection.
        reindex_job: while one runs, every write goes to the staged copy too.
        stored: the dialogue as it is now.
    """

    id: int
    tenant: str
    collection: str
    job: str | None
    action: Action
    dialogue_id: str
    content: str | None
    turns: int
    blob_owner: str | None
    attempts: int
    failures: int
    tried_s: float
    why: str | None
    spec: Mapping[str, Any] | None
    spaces: tuple[str, ...]
    reindex_job: str | None
    stored: Stored | None

    @property
    def is_ours(self) -> bool:
        """Nobody's request failed by it, so it is tried until it succeeds."""
        return self.action != PUT


@dataclass(frozen=True, slots=True)
class Kept:
    """A dialogue to be kept, with the pieces that are now indexed of it."""

    dialogue: Dialogue
    content: str
    revision: int
    pieces: Sequence[Piece]
    blob_owner: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an item ended.

    Attributes:
        state: `waiting` is done again after `wait_s`; `mend` has failed, but may have left
            something that must go first.
        kept: replaces the dialogue.
        gone: the dialogue is deleted.
        own_fault: an attempt that counts against the item.
        tried_s: of that attempt, in calls that were given up for lack of time.
        at, why: of a failure.
        keep_blobs: of an erasure: pictures that stay.
    """

    work: Work
    state: Literal["indexed", "failed", "waiting", "mend"]
    kept: Kept | None = None
    gone: bool = False
    unchanged: bool = False
    degraded: str | None = None
    wait_s: float = 0.0
    own_fault: bool = False
    tried_s: float = 0.0
    at: str = ""
    why: str | None = None
    receipt: Mapping[str, int] | None = None
    keep_blobs: Sequence[str] = ()


class TookTooLong(UpstreamFailed):
    """A call of an item's own was given up. Not like a service that is away: the next attempt may
    end as this one did."""

    def __init__(self, detail: str, tried_s: float) -> None:
        super().__init__(detail)
        self.tried_s = tried_s


def new_job_id() -> str:
    """Begins with the time, so that ids of jobs sort by their age."""
    return f"{int(time.time() * 1_000):012x}{secrets.token_hex(8)}"


def content_of(dialogue: Dialogue) -> str:
    """The one way to write a dialogue down: equal dialogues give equal texts."""
    return canonical(dialogue.model_dump(mode="json", by_alias=True, exclude_none=True))


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def point_id(tenant: str, collection: str, dialogue_id: str, number: int) -> UUID:
    """Of a fragment: the same each time, so that storing it twice is storing it once."""
    return uuid5(_POINTS, json.dumps([tenant, collection, dialogue_id, number]))


def has_content(turn: Utterance) -> bool:
    """Whether there is anything to find in a turn."""
    return any(not isinstance(part, TextPart) or part.text.strip() for part in turn.parts)


def pieces_of(dialogue: Dialogue, numbered: Mapping[int, Sequence[int]]) -> list[Piece]:
    """The pieces of a dialogue, from their utterance ids by number; empty ones are left out."""
    head = [dialogue.metadata, dialogue.acl]
    owners = dialogue.image_owners()
    pieces = []
    for number, ids in sorted(numbered.items()):
        turns = [dialogue.utterances[i] for i in ids]
        if any(has_content(turn) for turn in turns):
            told = [turn.model_dump(mode="json", exclude_none=True) for turn in turns]
            value = [*head, told, _image_ids(owners, ids)]
            pieces.append(Piece(number, tuple(ids), digest(canonical(value))))
    return pieces


def record_of(
    dialogue: Dialogue, piece: Piece, *, tenant: str, collection: str, revision: int
) -> FragmentRecord:
    dialogue_id = str(dialogue.id)
    return FragmentRecord(
        id=point_id(tenant, collection, dialogue_id, piece.number),
        dialogue_id=dialogue_id,
        number=piece.number,
        revision=revision,
        utterances=[dialogue.utterances[i] for i in piece.utterance_ids],
        image_ids=_image_ids(dialogue.image_owners(), piece.utterance_ids),
        metadata=dialogue.metadata,
        acl=dialogue.acl,
    )


def _image_ids(owners: Sequence[int], utterance_ids: Iterable[int]) -> list[int]:
    mine = set(utterance_ids)
    return [image for image, owner in enumerate(owners) if owner in mine]
