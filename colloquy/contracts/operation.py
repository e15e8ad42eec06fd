"""Health, readiness, models: how a running system describes itself."""

from typing import Literal

from pydantic import Field

from colloquy.contracts.contract import Contract


class Check(Contract):
    """One dependency."""

    name: str
    ready: bool
    detail: str | None = Field(default=None, description="Why not; for operators.")


class Readiness(Contract):
    ready: bool
    checks: list[Check]


class OpenAIModel(Contract):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "colloquy"


class OpenAIModelList(Contract):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]
