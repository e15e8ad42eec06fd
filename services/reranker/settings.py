"""Every knob of the reranker: its section of the profile and the shared ones it needs."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr

from colloquy.engine.serving.settings import EngineBinding, EngineTuning, bindings
from colloquy.profile import Media, Profile, ProfileError, Secrets, Section, Task

TASK = "rank"


class Tuning(EngineTuning):
    """`reranker:` of the profile."""

    candidates_at_once: int = Field(
        default=8,
        gt=0,
        description="Of one request in the engine's queue; more would crowd out other requests.",
    )
    cached_scores: int = Field(
        default=100_000, ge=0, description="Answers that are remembered, about 300 bytes each."
    )
    max_pictures: int = Field(
        default=512, gt=0, description="Different ones in one request; more get 413."
    )
    spare_ms: int = Field(
        default=50,
        ge=0,
        description="Of the deadline, kept for answering with the scores there are.",
    )
    max_body_bytes: int = Field(default=64 * 2**20, gt=0, description="Of a request.")
    default_deadline_ms: int = Field(
        default=60_000, gt=0, description="Of a request that brings none."
    )


class Settings(Section):
    listen: str = Field(description="`unix:/path` or `host:port`.")
    task: Task
    engine: EngineBinding
    registry: list[Path]
    blobs: Path
    blob_key: SecretStr
    hop_secret: SecretStr
    media: Media = Media()
    tuning: Tuning = Tuning()

    @classmethod
    def of(cls, profile: Profile, secrets: Secrets) -> Self:
        """The reranker's part of `profile`.

        Raises:
            ProfileError: there is nothing to serve.
            pydantic.ValidationError: `reranker:` holds an unknown or wrong field.
        """
        task = task_of(profile)
        endpoint = profile.endpoints.get("reranker")
        listen = endpoint.listen if endpoint is not None else None
        return cls(
            listen=listen or profile.address_of("reranker"),
            task=task,
            engine=bindings(profile, secrets, {TASK: task})[task.engine],
            registry=profile.registry_dirs,
            blobs=profile.blobs_dir,
            blob_key=secrets.blob_key,
            hop_secret=secrets.hop,
            media=profile.media,
            tuning=Tuning.model_validate(profile.reranker),
        )


def task_of(profile: Profile) -> Task:
    """The task that the reranker serves.

    Raises:
        ProfileError: the profile runs no reranker.
    """
    if profile.reranker is None:
        raise ProfileError(f"profile {profile.name} runs no reranker: it has no `reranker:`")
    return profile.tasks["rank"]
