"""The tables of the ledger, the same on SQLite and PostgreSQL.

Times are unix seconds. Every row carries its tenant.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = 3

metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")

schema_version = Table(
    "schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)

# One row, `accepted`. Whoever takes the next number holds its lock until the end of the
# transaction, so that everything is accepted in one order.
counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", _Number, nullable=False),
)

collections = Table(
    "collections",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("spaces", Text, nullable=False),  # JSON: names
    Column("retention_days", Integer),
    Column("created", Float, nullable=False),
    Column("dropping", Boolean, nullable=False, default=False),
    # The job that builds a copy; until it ends every write goes to both.
    Column("reindex_job", String(40)),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),  # begins with its time, so that ids sort by age
    Column("tenant", String(63), nullable=False),
    Column("collection", String(128)),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("phase", String(16), nullable=False, default=""),
    Column("spec", Text),
    Column("cursor", Text),
    Column("receipt", Text),
    Column("idempotency_key", String(256)),
    Column("body_sha256", String(64)),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("started", Float),
    Column("lease_owner", String(64)),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False, default=0.0),
    Index("jobs_by_key", "tenant", "idempotency_key", unique=True),
    Index("jobs_by_state", "state"),
    Index("jobs_of_tenant", "tenant", "id"),
)

items = Table(
    "items",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("tenant", String(63), nullable=False),
    Column("collection", String(128), nullable=False),
    Column("job", String(40)),  # null: the ledger's own work
    Column("position", Integer),
    Column("line", Integer),
    Column("dialogue_id", String(256)),
    Column("action", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False, default=1),  # the lowest goes first
    Column("accepted", _Number, nullable=False, default=0),
    Column("content", Text),  # JSON; gone when the work is done
    Column("turns", Integer, nullable=False, default=0),  # of the content
    Column("blob_owner", String(128)),
    Column("unchanged", Boolean, nullable=False, default=False),
    Column("degraded", String(64)),
    Column("attempts", Integer, nullable=False, default=0),  # times it was taken up
    Column("failures", Integer, nullable=False, default=0),  # times it failed by its own fault
    # In calls of its own that were given up for lack of time.
    Column("tried_s", Float, nullable=False, default=0.0, server_default="0"),
    Column("not_before", Float, nullable=False, default=0.0),
    Column("lease_owner", String(64)),
    Column("lease_until", Float),
    Column("at", Text),
    Column("why", Text),
    Column("receipt", Text),
    # `not_before` last: what waits for its time is passed over without a look at the row.
    Index("items_to_lease", "state", "tenant", "priority", "accepted", "id", "not_before"),
    Index("items_of_job", "job", "state"),
    Index("items_of_dialogue", "tenant", "collection", "dialogue_id", "state"),
    Index("items_by_position", "job", "position", unique=True),
    sqlite_autoincrement=True,
)

# The last turn of each tenant: where there is less room than tenants have work, they take turns.
turns = Table(
    "turns",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("turn", _Number, nullable=False),
)

dialogues = Table(
    "dialogues",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("collection", String(128), primary_key=True),
    Column("id", String(256), primary_key=True),
    Column("content", Text, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("blob_owner", String(128)),
    Column("updated", Float, nullable=False),
    Index("dialogues_by_age", "tenant", "collection", "updated"),
)

fragments = Table(
    "fragments",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("collection", String(128), primary_key=True),
    Column("dialogue_id", String(256), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("utterance_ids", Text, nullable=False),  # JSON
    Column("content_hash", String(64), nullable=False),
    Column("point", String(36), nullable=False),
)

# Owners of blobs that are to let go: written in the transaction that makes them superfluous, done
# after it. What is about to own blobs stands here first, for later, and is taken out when it does.
releases = Table(
    "releases",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("tenant", String(63), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("discard", Boolean, nullable=False),
    Column("keep", Text, nullable=False, default="[]"),  # JSON: references that it goes on to own
    Column("due", Float, nullable=False, default=0.0),
    Index("releases_by_due", "due"),
    Index("releases_by_owner", "tenant", "owner"),
)
