"""Every knob of the retriever: its section of the profile and the shared ones it needs."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr

from colloquy.contracts.retrieval import BM25
from colloquy.engine.serving.settings import EngineBinding, EngineTuning, bindings
from colloquy.profile import Media, Profile, ProfileError, Secrets, Section, Task
from colloquy.sections import ClipSpace, Space, TaskSpace
from services.retriever.sparse import Bm25Settings
from services.retriever.vector_stores import StoreSettings


class Encoding(Section):
    """How contents are brought to the models."""

    batch_pictures: int = Field(default=16, gt=0, description="In one batch of open_clip.")
    batch_tokens: int = Field(
        default=2_048, gt=0, description="In one batch of open_clip's texts, padding included."
    )
    documents_at_once: int = Field(
        default=64,
        gt=0,
        description="Pictures and texts of documents under way; queries are not counted. Two "
        "batches keep a model busy.",
    )
    prepare_threads: int = Field(
        default=2,
        gt=0,
        description="That decode and tokenise; as many do it for the queries of searches.",
    )
    waiting_items: int = Field(
        default=8_192, gt=0, description="Contents that may wait in a space; beyond it, 503."
    )


class Tuning(EngineTuning):
    """`retriever:` of the profile."""

    store: StoreSettings = StoreSettings()
    encoding: Encoding = Encoding()
    bm25: Bm25Settings = Bm25Settings()
    remembered_queries: int = Field(
        default=10_000, ge=0, description="Whose vectors are kept; about 2 KB each."
    )
    proposals: int = Field(
        default=100, gt=0, description="That each method makes at least, before they are fused."
    )
    proposals_per_result: int = Field(
        default=4, gt=0, description="And at least so many for each result wanted."
    )
    fusion_weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default={},
        description="Of the methods in the fusion, by the name of a space or `bm25`; 1 where "
        "nothing is said. Choose them on queries of your own whose answers are known.",
    )
    patience: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Share of the time left after which a method that is late is left out.",
    )
    max_body_bytes: int = Field(default=128 * 2**20, gt=0, description="Of a request.")
    default_deadline_ms: int = Field(
        default=60_000, gt=0, description="Of a request that brings none."
    )


class Settings(Section):
    listen: str = Field(description="`unix:/path` or `host:port`.")
    spaces: dict[str, Space]
    tasks: dict[str, Task]
    engines: dict[str, EngineBinding]
    registry: list[Path]
    state: Path
    blobs: Path
    blob_key: SecretStr
    hop_secret: SecretStr
    store_key: SecretStr | None = None
    media: Media = Media()
    tuning: Tuning = Tuning()

    @classmethod
    def of(cls, profile: Profile, secrets: Secrets) -> Self:
        """The retriever's part of `profile`.

        Raises:
            ProfileError: the environment lacks the key of the vector store's server, or a weight
                is of no method.
            pydantic.ValidationError: `retriever:` holds an unknown or wrong field.
        """
        tuning = tuning_of(profile)
        if (needed := tuning.store.api_key_secret) and secrets.vector_store_key is None:
            raise ProfileError(f"the environment has no {needed}")
        endpoint = profile.endpoints.get("retriever")
        listen = endpoint.listen if endpoint is not None else None
        wanted = {space.task for space in profile.spaces.values() if isinstance(space, TaskSpace)}
        tasks: dict[str, Task] = {
            name: task for name, task in profile.tasks.items() if name in wanted
        }
        return cls(
            listen=listen or profile.address_of("retriever"),
            spaces={name: _placed(space, profile) for name, space in profile.spaces.items()},
            tasks=tasks,
            engines=bindings(profile, secrets, tasks),
            registry=profile.registry_dirs,
            state=profile.state_dir,
            blobs=profile.blobs_dir,
            blob_key=secrets.blob_key,
            hop_secret=secrets.hop,
            store_key=secrets.vector_store_key,
            media=profile.media,
            tuning=tuning,
        )


def tuning_of(profile: Profile) -> Tuning:
    """The retriever's section.

    Raises:
        ProfileError: a weight is of no method.
        pydantic.ValidationError: an unknown or wrong field.
    """
    tuning = Tuning.model_validate(profile.retriever or {})
    methods = [*profile.spaces, BM25]
    for method in tuning.fusion_weights:
        if method not in methods:
            raise ProfileError(
                f"retriever/fusion_weights/{method}: is no method of search; "
                f"{', '.join(methods)} are"
            )
    return tuning


def _placed(space: Space, profile: Profile) -> Space:
    """A model's folder is relative to the checkout, as every folder of a profile is."""
    if isinstance(space, ClipSpace) and "/" in space.model:
        folder = profile.root / space.model
        if folder.is_dir():
            return space.model_copy(update={"model": str(folder.resolve())})
    return space
