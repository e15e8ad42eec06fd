"""Every knob of the gateway: its section of the profile, and what it shares with others."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from colloquy.profile import Media, Profile, ProfileError, Secrets


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TenantQuota(_Section):
    """What one tenant may use of this process; without keys there is one tenant, `local`."""

    requests_per_s: float = Field(
        default=50.0, gt=0, description="What is work: searches, vectors, uploads, ingestions."
    )
    burst: int = Field(default=200, gt=0, description="Of them at once, after a pause.")
    max_running: int = Field(
        default=64, gt=0, description="Requests under way at once; more get 429."
    )
    max_ingests: int = Field(
        default=4, gt=0, description="Ingestions received at a time; more get 429."
    )
    max_streams: int = Field(
        default=32, gt=0, description="Jobs followed by their events at once; more get 429."
    )
    max_collections: int = Field(
        default=1_000, gt=0, description="Collections that there may be; one more gets 409."
    )


class Knobs(_Section):
    """The `gateway` section of a profile."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Where it listens. Without keys it must be a loopback address.",
    )
    port: int = Field(default=8_420, ge=1, le=65_535, description="The one port of the stack.")
    default_timeout_ms: int = Field(
        default=60_000, gt=0, description="The deadline of a request that names none."
    )
    max_timeout_ms: int = Field(
        default=300_000, gt=0, description="A longer `timeout_ms` is shortened to it."
    )
    max_body_bytes: int = Field(default=64 * 2**20, gt=0, description="Of a request, pictures in.")
    max_bodies_bytes: int = Field(
        default=512 * 2**20, gt=0, description="Of all requests under way together; more get 503."
    )
    max_turns: int = Field(default=1_000, gt=0, description="Of one dialogue in a request.")
    max_running: int = Field(
        default=128, gt=0, description="Requests under way, of all tenants; more get 503."
    )
    max_streams: int = Field(
        default=256, gt=0, description="Streams of events, of all tenants; more get 503."
    )
    candidates: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="Of a search in a collection that names no number; twice `top_k` at least "
        "where it merges by dialogue, else `top_k`.",
    )
    rerank_weight: float = Field(
        default=1.0,
        ge=0,
        description="Of P(Yes) in a pointwise final score: beside the cosine where one method "
        "searched, in first places beside the fused rank where several did.",
    )
    max_refined: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="Candidates of one search that F2RVLM reads; it reads twice `top_k`, more "
        "where several are of one dialogue, and never more than this.",
    )
    refine_at_once: int = Field(default=8, gt=0, description="Of them at a time.")
    max_ingest_bytes: int = Field(
        default=256 * 2**20, gt=0, description="Of the body of one ingestion; it lies on disk."
    )
    max_ingests: int = Field(
        default=8, gt=0, description="Ingestions received at a time, of all tenants; more get 503."
    )
    ingest_timeout_ms: int = Field(
        default=1_800_000, gt=0, description="From the first byte of an ingestion to its 202."
    )
    tenant: TenantQuota = Field(default=TenantQuota(), description="Of each tenant.")
    console: Path = Field(default=Path("console"), description="Folder of the web page.")
    samples: Path = Field(
        default=Path("starter/samples"), description="Folder of the page's sample dialogues."
    )

    @model_validator(mode="after")
    def default_is_within_the_bound(self) -> Self:
        if self.default_timeout_ms > self.max_timeout_ms:
            raise ValueError("default_timeout_ms must not be above max_timeout_ms")
        return self

    @model_validator(mode="after")
    def one_body_fits(self) -> Self:
        if self.max_body_bytes > self.max_bodies_bytes:
            raise ValueError("max_body_bytes must not be above max_bodies_bytes")
        return self

    @property
    def listen(self) -> str:
        """`host:port`, as `serve` takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def timeout_ms(self, asked: int | None) -> int:
        """The deadline of a request that asked for `asked`."""
        return min(asked or self.default_timeout_ms, self.max_timeout_ms)


class Settings(Knobs):
    """The knobs, and what the gateway needs of the rest of the profile and of the secrets."""

    generator: str = Field(description="Where the generator answers, as `ServiceClient` takes it.")
    retriever: str | None = Field(default=None, description="The same; none has no collections.")
    reranker: str | None = Field(default=None, description="The same; none reranks nothing.")
    indexer: str | None = Field(default=None, description="The same; none has no collections.")
    spool_dir: Path = Field(
        default=Path("var/spool"), description="Folder for bodies that are being received."
    )
    blobs_dir: Path = Field(description="Folder of the blob store.")
    keys_file: Path = Field(description="SQLite file of the keys.")
    media: Media = Field(default=Media(), description="Bounds of pictures.")
    hop_secret: SecretStr = Field(description="What the services behind want to see.")
    blob_key: SecretStr = Field(description="Keys blob references.")
    page_token: SecretStr | None = Field(
        default=None, description="Allows changes while there are no keys."
    )

    @classmethod
    def of(cls, profile: Profile, secrets: Secrets) -> Self:
        """Collects the gateway's settings from a profile.

        Raises:
            ProfileError: the section `gateway` does not hold; the message names the field.
        """
        knobs = knobs_of(profile)
        root = profile.root
        own = {name: getattr(knobs, name) for name in Knobs.model_fields}
        return cls(
            **own | {"console": root / knobs.console, "samples": root / knobs.samples},
            generator=profile.address_of("generator"),
            retriever=None if profile.retriever is None else profile.address_of("retriever"),
            reranker=None if profile.reranker is None else profile.address_of("reranker"),
            indexer=None if profile.indexer is None else profile.address_of("indexer"),
            spool_dir=profile.state_dir / "spool",
            blobs_dir=profile.blobs_dir,
            keys_file=profile.keys_file,
            media=profile.media,
            hop_secret=secrets.hop,
            blob_key=secrets.blob_key,
            page_token=secrets.page_token,
        )


def knobs_of(profile: Profile) -> Knobs:
    """Checks the profile's section `gateway`.

    Raises:
        ProfileError: it does not hold; one line for each fault.
    """
    try:
        return Knobs.model_validate(profile.gateway)
    except ValidationError as error:
        faults = "; ".join(f"{_place(e['loc'])}: {_reason(e)}" for e in error.errors())
        raise ProfileError(f"profile {profile.name}: {faults}") from error


def _place(location: tuple[int | str, ...]) -> str:
    return "/".join(["gateway", *map(str, location)])


def _reason(finding: Any) -> str:
    return str(finding["msg"]).removeprefix("Value error, ")
