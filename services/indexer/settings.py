"""Every knob of the indexer: its section of the profile and the shared ones it needs."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr

from colloquy.contracts.retrieval import MAX_UPSERT
from colloquy.profile import Profile, ProfileError, Secrets, Section


class Tuning(Section):
    """`indexer:` of the profile."""

    ledger: str | None = Field(
        default=None,
        description="`postgresql://user@host/name`, or `sqlite:///path`; null is a file of the "
        "stack's state.",
    )
    ledger_password_secret: str | None = Field(
        default=None, description="Name of the environment variable that holds the password."
    )
    in_flight: int = Field(
        default=64, gt=0, le=1_000, description="Dialogues that are worked on together."
    )
    upsert_fragments: int = Field(
        default=64, gt=0, le=MAX_UPSERT, description="Of several dialogues, in one call."
    )
    upserts_at_once: int = Field(
        default=2, gt=0, description="Calls under way, so that the models never wait."
    )
    splits_at_once: int = Field(default=4, gt=0, description="Long dialogues being split.")
    short_turns: int = Field(
        default=12, gt=0, description="A dialogue of so many turns is one fragment, unsplit."
    )
    max_fragment_turns: int = Field(
        default=40, gt=0, description="A longer fragment is cut into windows."
    )
    window_turns: int = Field(
        default=10, gt=0, description="Of a dialogue that no model could split."
    )
    lease_s: float = Field(
        default=30.0, gt=0, description="Then the work of a dead indexer is another's."
    )
    poll_s: float = Field(
        default=0.5, gt=0, description="Between looks for work that others accepted."
    )
    max_failures: int = Field(
        default=5, gt=0, description="Of an item, by its own fault; a service that is away is none."
    )
    max_tried_s: float = Field(
        default=600.0,
        gt=0,
        description="Of an item, in calls of its own that were given up for lack of time; then it "
        "has failed, however few they were.",
    )
    longest_wait_s: float = Field(
        default=60.0, gt=0, description="Between attempts, while a service is away."
    )
    call_timeout_s: float = Field(
        default=300.0, gt=0, description="Of a call to the retriever or the generator."
    )
    unsealed_ttl_s: float = Field(
        default=3_600.0, gt=0, description="What was sent and never sealed is forgotten."
    )
    sweep_every_s: float = Field(
        default=60.0, gt=0, description="Retention, jobs that were broken off, old jobs."
    )
    keep_jobs_days: int = Field(default=30, gt=0, description="After a job has ended.")
    max_body_bytes: int = Field(default=256 * 2**20, gt=0, description="Of a request.")
    default_deadline_ms: int = Field(
        default=60_000, gt=0, description="Of a request that brings none."
    )

    def patience_s(self, failures: int, tried_s: float) -> float:
        """How long calls of an item may still be given up for lack of time; none is 0.

        Args:
            failures: attempts that failed by the item's own fault.
            tried_s: how long it was tried already.
        """
        if failures + 1 >= self.max_failures:
            return 0.0
        return max(0.0, self.max_tried_s - tried_s)


class Settings(Section):
    listen: str = Field(description="`unix:/path` or `host:port`.")
    ledger: str = Field(description="A database URL without a password.")
    ledger_password: SecretStr | None = None
    spaces: list[str] = Field(min_length=1, description="Those of a collection that names none.")
    generator: str = Field(description="Where the generator is.")
    retriever: str = Field(description="Where the retriever is.")
    blobs: Path
    blob_key: SecretStr
    hop_secret: SecretStr
    tuning: Tuning = Tuning()

    @classmethod
    def of(cls, profile: Profile, secrets: Secrets) -> Self:
        """The indexer's part of `profile`.

        Raises:
            pydantic.ValidationError: `indexer:` holds an unknown or wrong field.
            ProfileError: the ledger's password is not in the environment.
        """
        tuning = Tuning.model_validate(profile.indexer or {})
        if tuning.ledger_password_secret and secrets.ledger_password is None:
            raise ProfileError(f"the environment has no {tuning.ledger_password_secret}")
        endpoint = profile.endpoints.get("indexer")
        listen = endpoint.listen if endpoint is not None else None
        own_file = f"sqlite:///{profile.state_dir.resolve() / 'ledger.sqlite'}"
        return cls(
            listen=listen or profile.address_of("indexer"),
            ledger=tuning.ledger or own_file,
            ledger_password=secrets.ledger_password,
            spaces=list(profile.spaces),
            generator=profile.address_of("generator"),
            retriever=profile.address_of("retriever"),
            blobs=profile.blobs_dir,
            blob_key=secrets.blob_key,
            hop_secret=secrets.hop,
            tuning=tuning,
        )
