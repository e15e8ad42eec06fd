"""Every knob of the generator: its section of the profile and the shared ones it needs."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr

from colloquy.engine.serving.settings import EngineBinding, EngineTuning, bindings
from colloquy.profile import Media, Profile, Secrets, Section, Task

TASKS = ("fragment", "split")


class Tuning(EngineTuning):
    """`generator:` of the profile."""

    slices_at_once: int = Field(
        default=4, gt=0, description="Of one long dialogue; more would crowd out other requests."
    )
    overlap_turns: int = Field(
        default=10, ge=0, lt=100, description="Seen by both neighbours where a dialogue is cut."
    )
    max_body_bytes: int = Field(default=64 * 2**20, gt=0, description="Of a request.")
    default_deadline_ms: int = Field(
        default=120_000, gt=0, description="Of a request that brings none."
    )


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
        tasks: dict[str, Task] = {
            name: task for name, task in profile.tasks.items() if name in TASKS
        }
        return cls(
            listen=listen or profile.address_of("generator"),
            tasks=tasks,
            engines=bindings(profile, secrets, tasks),
            registry=profile.registry_dirs,
            blobs=profile.blobs_dir,
            blob_key=secrets.blob_key,
            hop_secret=secrets.hop,
            media=profile.media,
            tuning=Tuning.model_validate(profile.generator),
        )
