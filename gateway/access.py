"""Which route asks what of its caller: one table, checked before a body is read."""

from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.admission import Admission, Need

API_PREFIXES = ("/v1/", "/v2/")

NEEDS: Mapping[str, Need] = {
    "POST /v1/fragments/search": Need(scope="search", counted=True),
    "POST /v1/fragments/split": Need(scope="search", counted=True),
    "POST /v1/embeddings": Need(scope="search", counted=True),
    "POST /v1/rerank": Need(scope="search", counted=True),
    "POST /v2/rerank": Need(scope="search", counted=True),
    "PUT /v1/collections/{name}": Need(scope="index", changes=True, counted=True),
    "GET /v1/collections": Need(scope="index"),
    "GET /v1/collections/{name}": Need(scope="index"),
    "DELETE /v1/collections/{name}": Need(scope="index", changes=True, counted=True),
    "POST /v1/collections/{name}/dialogues": Need(scope="index", changes=True, counted=True),
    "GET /v1/collections/{name}/dialogues": Need(scope="index"),
    "POST /v1/collections/{name}/dialogues/{id}/utterances": Need(
        scope="index", changes=True, counted=True
    ),
    "GET /v1/collections/{name}/dialogues/{id}": Need(scope="index"),
    "DELETE /v1/collections/{name}/dialogues/{id}": Need(scope="index", changes=True, counted=True),
    "POST /v1/collections/{name}/reindex": Need(scope="index", changes=True, counted=True),
    "GET /v1/jobs": Need(scope="index"),
    "GET /v1/jobs/{id}": Need(scope="index"),
    "GET /v1/jobs/{id}/events": Need(scope="index", counted=True, streamed=True),
    "DELETE /v1/jobs/{id}": Need(scope="index", changes=True, counted=True),
    "POST /v1/erase": Need(scope="index", changes=True, counted=True),
    "POST /v1/images": Need(changes=True, counted=True),
    "GET /v1/images/{ref}": Need(),
    "GET /v1/models": Need(),
    "GET /metrics": Need(scope="operator"),
}


class Guard:
    """Stands before one route: only who may comes in, and only while there is room."""

    def __init__(self, app: ASGIApp, need: Need) -> None:
        self._app = app
        self._need = need

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admission: Admission = scope["state"]["admission"]
        caller = admission.admit(Headers(scope=scope), self._need)
        scope["state"]["caller"] = caller
        with admission.room(caller, self._need):
            await self._app(scope, receive, send)


def guard_routes(app: FastAPI) -> None:
    """Puts a guard before each route of the table.

    Raises:
        LookupError: a route of the API is not in the table, or the table has one that is not.
    """
    left = dict(NEEDS)
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue
        name = name_of(route)
        need = left.pop(name, None)
        if need is not None:
            route.app = Guard(route.app, need)
        elif route.path.startswith(API_PREFIXES):
            raise LookupError(f"nobody said who may call {name}")
    if left:
        raise LookupError(f"there is no route {', '.join(left)}")


def name_of(route: APIRoute) -> str:
    """`GET /v1/models`, as the description has it; a route has one method."""
    (method,) = route.methods
    return f"{method} {route.path_format}"
