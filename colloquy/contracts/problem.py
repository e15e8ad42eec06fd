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


class OpenAIError(Contract):
    """What OpenAI's clients show of a failure."""

    message: str
    type: str = Field(description="A kind of OpenAI's, `invalid_request_error` for example.")
    param: str | None = Field(description="The field that is wrong, `input/0`, if one is.")
    code: str


class OpenAIProblem(Problem):
    """A problem, and beside it the object that OpenAI's clients read."""

    error: OpenAIError
