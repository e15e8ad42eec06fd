"""The manifest beside every checkpoint's files."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from colloquy.contracts.content import Dialogue
from colloquy.contracts.contract import Contract

MANIFEST = "manifest.json"
Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
NAME = r"^[a-z][a-z0-9_-]{0,31}$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Reference(Contract):
    """A file or data set that made the checkpoint, named by its content."""

    name: str = Field(description="Path in the repository, or name and version of a data set.")
    sha256: str = Sha256


class Base(Contract):
    """The base that an adapter belongs to; on any other base it answers nonsense."""

    task: str = Field(default="base", pattern=NAME)
    version: str = Field(pattern=VERSION)
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="Of the base's weights, as its manifest has it."
    )


class Probe(Contract):
    """One question with a known answer, asked after loading: greedy, under the grammar."""

    query: str | None = None
    dialogue: Dialogue
    expected: str = Field(description="The answer to the letter, in the protocol's form.")


class VectorProbe(Contract):
    """One content and its vector: a served model must come within a cosine of 0.99.

    Exactly one of `query`, `fragment` and `image` is set.
    """

    query: str | None = Field(
        default=None, description="A query's own text; LamRA puts its instruction before it."
    )
    fragment: Dialogue | None = Field(default=None, description="All its turns, as a candidate.")
    image: str | None = Field(default=None, description="A picture, as a data URL.")
    vector: list[float] = Field(min_length=1, description="Of length 1.")


class JudgementProbe(Contract):
    """One candidate and how likely it meets the query; a served model must come within 0.05."""

    query: str = Field(description="A query's own text; LamRA puts its instruction before it.")
    fragment: Dialogue = Field(description="All its turns, as a candidate.")
    p_yes: float = Field(ge=0, le=1)


AnyProbe = Probe | VectorProbe | JudgementProbe


class Manifest(Contract):
    """What a checkpoint is and what made it. Immutable once written."""

    task: str = Field(pattern=NAME)
    version: str = Field(pattern=VERSION)
    kind: Literal["base", "adapter", "weights"]
    protocol: str | None = Field(default=None, description="Null for a base.")
    base: Base | None = Field(default=None, description="Null for full weights.")
    weights: str = Field(
        default="model.safetensors", description="The weights' file among `files`."
    )
    files: dict[str, str] = Field(min_length=1, description="SHA-256 of every file, by path.")
    data: Reference | None = None
    recipe: Reference | None = None
    metrics: dict[str, Any] = Field(default_factory=dict, description="On the held-out set.")
    parent: str | None = Field(default=None, description="The version it was trained on from.")
    created: datetime
    probes: list[Probe] = Field(default_factory=list)
    vector_probes: list[VectorProbe] = Field(
        default_factory=list, description="Of models that embed."
    )
    judgement_probes: list[JudgementProbe] = Field(
        default_factory=list, description="Of models that rerank."
    )

    @property
    def name(self) -> str:
        return f"{self.task}@{self.version}"

    @property
    def all_probes(self) -> list[AnyProbe]:
        """Of every kind; a checkpoint has those that fit its task."""
        return [*self.probes, *self.vector_probes, *self.judgement_probes]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `folder/manifest.json`.

        Raises:
            OSError: there is none. ValueError: it is not a manifest.
        """
        return cls.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))

    def write(self, folder: Path) -> None:
        text = self.model_dump_json(indent=2, exclude_none=True)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
