"""Failures as OpenAI's clients read them: an `error` object beside the members of the problem."""

from starlette.types import ASGIApp, Receive, Scope, Send

from colloquy.contracts.problem import OpenAIError
from colloquy.servicekit.problems import ServiceError, TooManyRequests, Unauthenticated, tell_more
from gateway.problems import ModelMissing

PATHS = frozenset({"/v1/embeddings", "/v1/models"})
"""Where OpenAI is spoken."""

# What clients look for by name; every other code is our own slug.
_CODES = {
    ModelMissing.slug: "model_not_found",
    Unauthenticated.slug: "invalid_api_key",
    TooManyRequests.slug: "rate_limit_exceeded",
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class SpeakOpenAI:
    """Lets every failure of OpenAI's routes, whichever layer it comes from, carry the object."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in PATHS:
            tell_more(scope, lambda error: {"error": openai_error(error).model_dump()})
        await self._app(scope, receive, send)


def openai_error(error: ServiceError) -> OpenAIError:
    at = error.faults[0].at if error.faults else None
    other = "server_error" if error.status >= 500 else "invalid_request_error"
    return OpenAIError(
        message=f"{error.title}: {error.detail}" if error.detail else error.title,
        type=_TYPES.get(error.status, other),
        param=None if at is None else at.removeprefix("body/"),
        code=_CODES.get(error.slug, error.slug.replace("-", "_")),
    )
