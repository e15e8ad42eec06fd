"""Expected failures, and how every failure becomes `application/problem+json` (RFC 9457)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from colloquy.contracts.problem import Fault
from colloquy.servicekit.context import request_id
from colloquy.servicekit.faults import faults_of

PROBLEM_BASE = "urn:colloquy:problem:"
PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20
_MAX_INSTANCE_CHARACTERS = 256
_SLUG_IN_SCOPE = "colloquy.problem"
_MEMBERS_IN_SCOPE = "colloquy.problem.members"
_log = logging.getLogger("colloquy.problems")


class ServiceError(Exception):
    """An expected failure. One subclass is one documented problem type.

    Args:
        detail: what happened, in our own words; never what the caller sent.
        retry_after_s: when to try again, instead of the class's own.
        faults: what is wrong, place by place.
        facts: further members of the problem; JSON values.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retry_after_s: int | None = None

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after_s: int | None = None,
        faults: Sequence[Fault] | None = None,
        **facts: object,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = list(faults) if faults else None
        self.facts = facts
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


Members = Callable[[ServiceError], dict[str, object]]
"""What a dialect adds to a problem."""


class Malformed(ServiceError):
    status, slug, title = 422, "invalid-request", "The request is not valid"


class MalformedJson(ServiceError):
    status, slug, title = 400, "malformed-json", "The body is not JSON that we accept"


class Unauthenticated(ServiceError):
    status, slug, title = 401, "unauthenticated", "A valid key is needed"


class Forbidden(ServiceError):
    status, slug, title = 403, "forbidden", "The key does not allow this"


class HopRefused(ServiceError):
    status, slug, title = 403, "hop-refused", "Only services of this stack are answered"


class NotFound(ServiceError):
    status, slug, title = 404, "not-found", "There is no such thing"


class CollectionMissing(NotFound):
    """Known to the gateway and to the service that keeps collections."""

    slug, title = "collection-missing", "There is no such collection"


class RouteMissing(ServiceError):
    status, slug, title = 404, "no-such-route", "There is nothing at this address"


class MethodNotAllowed(ServiceError):
    status, slug, title = 405, "method-not-allowed", "The address does not take this method"


class Conflict(ServiceError):
    status, slug, title = 409, "conflict", "The request conflicts with what is there"


class TooManyCollections(Conflict):
    """Known to the gateway and to the service that keeps collections. No quota that fills again by
    itself, so no 429: clients would try again and again."""

    slug, title = "too-many-collections", "The tenant has as many collections as it may have"


class TooLarge(ServiceError):
    status, slug, title = 413, "too-large", "The request is too large"


class BodyTooSlow(ServiceError):
    status, slug, title = 408, "body-too-slow", "The body did not arrive in time"


class UnsupportedMedia(ServiceError):
    status, slug, title = 415, "unsupported-media", "The content is of a kind that is not taken"


class BadImage(ServiceError):
    status, slug, title = 422, "bad-image", "An image cannot be read"


class TooManyRequests(ServiceError):
    status, slug, title, retry_after_s = 429, "too-many-requests", "The quota is used up", 1


class ClientGone(ServiceError):
    """Nobody reads the answer; the status is for logs and metrics."""

    status, slug, title = 499, "client-gone", "The client left"


class UpstreamFailed(ServiceError):
    status, slug, title = 502, "upstream-failed", "A service behind this one failed"


class UpstreamMalformed(UpstreamFailed):
    """A model that no grammar holds wrote something that cannot be read."""

    status, slug, title = 502, "upstream-malformed", "A model's answer cannot be read"


class Overloaded(ServiceError):
    status, slug, title, retry_after_s = 503, "overloaded", "The service is at capacity", 1


class Unavailable(ServiceError):
    status, slug, title, retry_after_s = 503, "unavailable", "A service is not available now", 2


class DeadlineExceeded(ServiceError):
    status, slug, title = 504, "deadline-exceeded", "The time for the request is up"


def error_types() -> dict[str, type[ServiceError]]:
    """Every problem type that this process knows, by slug."""

    def walk(parent: type[ServiceError]) -> Iterator[type[ServiceError]]:
        for child in parent.__subclasses__():
            yield child
            yield from walk(child)

    # A kind within a type, such as `DecodeKilled`, has its parent's slug and is not one of its own.
    return {child.slug: child for child in walk(ServiceError) if "slug" in vars(child)}


def problem_response(scope: Scope, error: ServiceError) -> JSONResponse:
    """The response for `error`; remembers its slug for the metrics."""
    scope[_SLUG_IN_SCOPE] = error.slug
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    further: Members | None = scope.get(_MEMBERS_IN_SCOPE)
    content = error.facts | (further(error) if further else {})
    content |= {
        "type": PROBLEM_BASE + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": str(scope.get("path", ""))[:_MAX_INSTANCE_CHARACTERS],
        "request_id": request_id(),
    }
    if error.faults:
        content["faults"] = [fault.model_dump() for fault in error.faults[:MAX_FAULTS]]
    return JSONResponse(
        content, status_code=error.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers
    )


def tell_more(scope: Scope, members: Members) -> None:
    """Every problem that the request is answered with has these further members."""
    scope[_MEMBERS_IN_SCOPE] = members


def problem_slug(scope: Scope) -> str | None:
    """The slug of the problem that the request was answered with, if it was."""
    slug: str | None = scope.get(_SLUG_IN_SCOPE)
    return slug


def as_service_error(error: Exception) -> ServiceError:
    """What to answer for any exception; an unexpected one goes to the log and tells nothing."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, ClientDisconnect):
        return ClientGone()
    _log.error("an unexpected error ended the request", exc_info=error)
    return ServiceError()


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every failure of `app` a problem; what is not expected is left to `AnswerProblems`."""

    async def expected(request: Request, error: Exception) -> JSONResponse:
        return problem_response(request.scope, as_service_error(error))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = faults_of(error.errors(), error.body)
        return problem_response(request.scope, Malformed(_first(faults), faults=faults))

    async def by_status(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        response = problem_response(request.scope, _from_status(error.status_code))
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    handlers: Mapping[type[Exception], object] = {
        ServiceError: expected,
        ClientDisconnect: expected,
        RequestValidationError: invalid,
        HTTPException: by_status,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]


def _first(faults: Sequence[Fault]) -> str:
    if not faults:
        return ""
    others = len(faults) - 1
    more = f" (and {others} more)" if others else ""
    return f"{faults[0].at}: {faults[0].why}{more}"


def _from_status(status: int) -> ServiceError:
    """For what the framework raises by status alone; its words are not passed on."""
    by_status: dict[int, type[ServiceError]] = {
        400: MalformedJson,
        401: Unauthenticated,
        403: Forbidden,
        404: RouteMissing,
        405: MethodNotAllowed,
        413: TooLarge,
        415: UnsupportedMedia,
    }
    if status in by_status:
        return by_status[status]()
    return Malformed() if 400 <= status < 500 else ServiceError()
