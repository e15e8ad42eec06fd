"""RFC 9457 problem details, as every error of every service has them."""

from pydantic import ConfigDict, Field

from colloquy.contracts.contract import Contract


class Fault(Contract):
    """One thing that is wrong with a request: where, and why. Never what was sent."""

    at: str = Field(description="Path of the field, `body/dialogue/utterances/3/content`.")
    why: str


class Problem(Contract):
    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    faults: list[Fault] | None = None
