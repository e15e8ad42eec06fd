"""The description of the API is complete, and its committed snapshot is true."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from colloquy.contracts.collections import Append, CollectionSpec, Erase
from colloquy.contracts.content import Dialogue
from colloquy.contracts.embeddings import EmbeddingsRequest, RerankRequest
from colloquy.contracts.fragments import FragmentSearchRequest, SplitRequest
from colloquy.contracts.images import ImageUpload
from colloquy.contracts.problem import Problem
from gateway.__main__ import description
from gateway.access import NEEDS
from gateway.manual import manual

SNAPSHOT = Path(__file__).parents[3] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(description())
    return described


def operations(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_snapshot_is_what_the_gateway_says(schema: dict[str, Any]) -> None:
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == schema, (
        "run `python -m gateway --openapi > docs/openapi.json`"
    )


def test_every_route_that_needs_a_key_says_so(schema: dict[str, Any]) -> None:
    described = dict(operations(schema))

    assert set(NEEDS) <= set(described)
    assert all(described[name]["security"] == [{"key": []}, {}] for name in NEEDS)


def test_every_route_and_parameter_is_described_in_words(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name


def test_every_problem_has_its_own_media_type_and_an_example_that_is_one(
    schema: dict[str, Any],
) -> None:
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            if status[0] not in "45" or "application/json" in content:
                assert name == "GET /readyz" or status[0] not in "45", (name, status)
                continue
            example = content["application/problem+json"].get("example")
            if status.isdecimal():
                assert Problem.model_validate(example).status == int(status)


def test_every_example_of_a_request_is_valid(schema: dict[str, Any]) -> None:
    contracts: dict[str, Any] = {
        "POST /v1/fragments/search": FragmentSearchRequest,
        "POST /v1/fragments/split": SplitRequest,
        "POST /v1/images": ImageUpload,
        "POST /v1/embeddings": EmbeddingsRequest,
        "POST /v1/rerank": RerankRequest,
        "POST /v2/rerank": RerankRequest,
        "PUT /v1/collections/{name}": CollectionSpec,
        "POST /v1/collections/{name}/dialogues": list[Dialogue],
        "POST /v1/collections/{name}/dialogues/{id}/utterances": Append,
        "POST /v1/erase": Erase,
    }
    for name, operation in operations(schema):
        if "requestBody" in operation:
            example = operation["requestBody"]["content"]["application/json"]["example"]
            TypeAdapter(contracts[name]).validate_python(example)


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    known = schema["components"]["schemas"]
    for reference in _references(schema):
        assert reference.removeprefix("#/components/schemas/") in known
    for shape in known.values():
        jsonschema.Draft202012Validator.check_schema(shape)


def test_the_manual_escapes_what_it_shows() -> None:
    schema = {
        "info": {"title": "<b>", "version": "1", "description": "a `<i>` & b"},
        "tags": [],
        "paths": {},
        "components": {"schemas": {"<X>": {"properties": {"<p>": {"type": "<t>"}}}}},
    }

    page = manual(schema)

    for tag in ("<b>", "<i>", "<X>", "<p>T", "<t>"):
        assert tag not in page
    assert "<code>&lt;i&gt;</code>" in page


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for inner in value.values() for ref in _references(inner)]
    if isinstance(value, list):
        return [ref for inner in value for ref in _references(inner)]
    return []
