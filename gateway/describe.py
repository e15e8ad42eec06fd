"""The API's own description: problems, examples, keys, for `/openapi.json` and `/docs`."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from colloquy.contracts.images import ImageUpload
from colloquy.contracts.problem import Problem
from colloquy.servicekit.problems import (
    PROBLEM_BASE,
    PROBLEM_MEDIA_TYPE,
    DeadlineExceeded,
    MalformedJson,
    Overloaded,
    ServiceError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    UpstreamFailed,
    error_types,
)
from gateway.access import NEEDS
from gateway.openai_errors import PATHS, openai_error
from gateway.problems import HostRefused, OriginRefused, ScopeMissing

API_VERSION = "0.1.0"
_ABOUT = """\
Finds, understands and answers in conversations that mix text and images.

JSON in, JSON out. Every failure is `application/problem+json` (RFC 9457): `type` says which,
`detail` says what happened, `faults` name the places that are wrong, `request_id` finds it in the
logs. Every answer carries `x-request-id`, and those of models name in `models` the version that
made them. `timeout_ms` bounds a request; a client that leaves ends its work.

An image is a `data:` URL, a `blob:` reference from `POST /v1/images`, or an `https:` URL where the
installation allows fetching.

Once the installation has keys, send `Authorization: Bearer <key>`: the key decides the tenant.
Without keys only the machine itself is served, and changes need the token that `colloquy up`
prints.
"""
_TAGS = [
    {"name": "Fragments", "description": "Turns and pictures of a dialogue that belong together."},
    {"name": "Collections", "description": "Named sets of dialogues that can be searched."},
    {"name": "Dialogues", "description": "What a collection holds: bring in, read back, remove."},
    {"name": "Jobs", "description": "Work that goes on after its request was answered."},
    {"name": "Images", "description": "Pictures that are sent once and referred to afterwards."},
    {
        "name": "For tools that already exist",
        "description": "Vectors and rankings as clients of OpenAI, Jina and Cohere ask for them; "
        "fields that are not known here are ignored. A problem of an OpenAI route carries OpenAI's "
        "`error` object beside its own members.",
    },
    {"name": "Models", "description": "What is served, in which version."},
    {"name": "Operation", "description": "How the installation is doing."},
]

COMMON = (
    MalformedJson,
    Unauthenticated,
    ScopeMissing,
    HostRefused,
    OriginRefused,
    TooLarge,
    UnsupportedMedia,
    TooManyRequests,
    UpstreamFailed,
    Overloaded,
    Unavailable,
    DeadlineExceeded,
)
"""What any route of the API may answer."""

_KITE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGM4YWSEFTEMLQkA8h9TgXbDAqMAAAAASUVO"
    "RK5CYII="
)
_DIALOGUE = {
    "id": "d-17",
    "utterances": [
        {"speaker": "Ana", "content": "Shall we bake something for grandma?", "ref": "msg_1"},
        {"speaker": "Ben", "content": "A cake with cherries!", "ref": "msg_2"},
        {
            "speaker": "Ana",
            "content": [
                {"type": "text", "text": "Like this one"},
                {"type": "image_url", "image_url": {"url": _KITE}},
            ],
        },
        {"speaker": "Ben", "content": "By the way, the train leaves at nine."},
    ],
}


def _example(**content: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"example": content}}}}


EXAMPLE_SEARCH = _example(query="the cake for grandma", dialogue=_DIALOGUE, timeout_ms=20_000)
EXAMPLE_SPLIT = _example(dialogue=_DIALOGUE)
EXAMPLE_COLLECTION = _example(kind="dialogues", retention_days=365)
EXAMPLE_ERASE = _example(speaker="Ana")
EXAMPLE_APPEND = _example(
    utterances=[{"speaker": "Ben", "content": "It was delicious!", "ref": "msg_5"}],
    expected_turns=4,
)
EXAMPLE_EMBEDDINGS = _example(
    model="clip",
    input=["a cake with cherries", {"type": "image_url", "image_url": {"url": _KITE}}],
)
EXAMPLE_RERANK = _example(
    query="a cake with cherries",
    documents=["Ben: A cake with cherries!", {"text": "Ana: Like this one", "image": _KITE}],
    top_n=1,
)
EXAMPLE_INGEST = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Dialogue"}},
                "example": [_DIALOGUE],
            },
            "application/x-ndjson": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
EXAMPLE_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ImageUpload"},
                "example": {"image": {"url": _KITE}},
            },
        },
    }
}


def problems(
    *kinds: type[ServiceError], model: type[Problem] = Problem
) -> dict[int | str, dict[str, Any]]:
    """The responses of a route, by status, for each kind of failure that it may answer.

    Args:
        model: of the body; another where a dialect adds to it.
    """
    by_status: dict[int | str, list[type[ServiceError]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "model": model,
            "description": "\n".join(f"- `{kind.slug}`: {kind.title}." for kind in same),
        }
        for status, same in sorted(by_status.items(), key=lambda item: str(item[0]))
    }


def describe(app: FastAPI) -> None:
    """Completes what the framework can tell about `app`."""
    app.version, app.description = API_VERSION, _ABOUT
    app.openapi_tags = _TAGS
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schema["info"]["title"] = "Colloquy"  # the app's own title names its logs and metrics
            components = schema.setdefault("components", {})
            components["schemas"]["ImageUpload"] = _upload_schema(components["schemas"])
            components["securitySchemes"] = {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A tenant's or an operator's key; without keys, the page token.",
                }
            }
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _complete(f"{method.upper()} {path}", operation)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _complete(name: str, operation: dict[str, Any]) -> None:
    need = NEEDS.get(name)
    if need is not None:
        operation["security"] = [{"key": []}, {}]
        operation["x-scope"] = need.scope or "any"
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if status[0] in "45" and _is_problem(content):
            content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
            if status.isdecimal():
                content[PROBLEM_MEDIA_TYPE]["example"] = _problem_example(name, status, response)


def _upload_schema(known: Mapping[str, Any]) -> dict[str, Any]:
    """The one body that a route reads by itself; what it refers to is described already."""
    schema = ImageUpload.model_json_schema(ref_template="#/components/schemas/{model}")
    missing = set(schema.pop("$defs", {})) - set(known)
    if missing:
        raise LookupError(f"the description lacks {missing}")
    return schema


def _is_problem(content: Mapping[str, Any]) -> bool:
    schema = content.get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith(("/Problem", "/OpenAIProblem"))


def _problem_example(name: str, status: str, response: Mapping[str, Any]) -> dict[str, Any]:
    slug, _, title = response["description"].partition("\n")[0].removeprefix("- `").partition("`: ")
    path = name.partition(" ")[2]
    example = {
        "type": PROBLEM_BASE + slug,
        "title": title.removesuffix("."),
        "status": int(status),
        "detail": "",
        "instance": path,
        "request_id": "3f9c2b7d5e1a4c60",
    }
    if path in PATHS:
        example["error"] = openai_error(error_types()[slug]()).model_dump()
    return example
