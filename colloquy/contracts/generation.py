"""What the gateway asks the generator. Pictures are blob references; the tenant is the server's."""

from typing import Annotated

from pydantic import Field

from colloquy.contracts.content import Dialogue
from colloquy.contracts.contract import Contract

Tenant = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class Usage(Contract):
    model_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = Field(default=0, description="Of the prompt, found in the prefix cache.")
    output_tokens: int = 0


class FragmentTask(Contract):
    tenant: Tenant
    dialogue: Dialogue
    query: str


class FragmentAnswer(Contract):
    """Empty lists mean that nothing in the dialogue answers the query."""

    utterance_ids: list[int]
    image_ids: list[int]
    model: str = Field(description="Task and version, `fragment@3`.")
    degraded: list[str] = Field(default_factory=list)
    usage: Usage


class SplitTask(Contract):
    tenant: Tenant
    dialogue: Dialogue


class SplitAnswer(Contract):
    fragments: list[list[int]]
    model: str
    degraded: list[str] = Field(default_factory=list)
    usage: Usage


class TaskModel(Contract):
    """A task that the generator serves, and with which version."""

    task: str
    model: str
    protocol: str
    engine: str
    created: int = Field(description="Unix seconds.")


class TaskModels(Contract):
    tasks: list[TaskModel]
