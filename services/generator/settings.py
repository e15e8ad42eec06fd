"""Every knob of the generator: its section of the profile and the shared ones it needs."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr

from colloquy.profile import Engine, Media, Profile, Secrets, Section, Task


class Tuning(Section):
    """`generator:` of the profile."""

    slices_at_once: int = Field(
        default=4, gt=0, description="Of one long dialogue; more would crowd out other requests."
    )
    overlap_turns: int = Field(
        default=10, ge=0, lt=100, description="Seen by both neighbours where a dialogue is cut."
    )
    fit_workers: int = Field(default=1, gt=0, description="Processes that shrink pictures.")
    probe_every_s: float = Field(default=1.0, gt=0, description="How often an engine is probed.")
    probe_timeout_s: float = Field(default=2.5, gt=0, description="A slower probe has failed.")
    stuck_after_s: float = Field(
        default=45.0, gt=0, description="A silent engine is given up, and who waits sent away."
    )
    foreign_probe_every_s: float = Field(
        default=15.0, gt=0, description="Of somebody else's server, which may charge for it."
    )
    usual_start_s: int = Field(
        default=60, gt=0, description="How long an engine takes to come back; for Retry-After."
    )
    max_body_bytes: int = Field(default=64 * 2**20, gt=0, description="Of a request.")
    default_deadline_ms: int = Field(
        default=120_000, gt=0, description="Of a request that brings none."
    )


class EngineBinding(Section):
    """An engine of the profile, and how it is reached."""

    engine: Engine
    address: str
    api_key: SecretStr | None = None


class Settings(Section):
    listen: str = Field(description="`unix:/path` or `host:port`.")
    tasks: dict[str, Task]
    engines: dict[str, EngineBinding]
    registry: list[Path]
    blobs: Path
    blob_key: SecretStr
    hop_secret: SecretStr
    media: Media = Media()
    tuning: Tuning = Tuning()

    @classmethod
    def of(cls, profile: Profile, secrets: Secrets) -> Self:
        """The generator's part of `profile`.

        Raises:
            pydantic.ValidationError: `generator:` holds an unknown or wrong field.
        """
        endpoint = profile.endpoints.get("generator")
        listen = endpoint.listen if endpoint is not None else None
        used = {task.engine for task in profile.tasks.values()}
        return cls(
            listen=listen or profile.address_of("generator"),
            tasks=dict(profile.tasks),
            engines={
                name: EngineBinding(
                    engine=engine,
                    address=profile.address_of_engine(name),
                    api_key=secrets.engine_keys.get(name),
                )
                for name, engine in profile.engines.items()
                if name in used
            },
            registry=profile.registry_dirs,
            blobs=profile.blobs_dir,
            blob_key=secrets.blob_key,
            hop_secret=secrets.hop,
            media=profile.media,
            tuning=Tuning.model_validate(profile.generator),
        )
