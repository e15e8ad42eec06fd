"""Faults name the place as the caller wrote it, and never what was sent."""

from typing import Any, get_args

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core._pydantic_core import list_all_errors
from pydantic_core.core_schema import ErrorType

from colloquy.contracts.fragments import FragmentSearchRequest
from colloquy.servicekit.faults import faults_of

SECRET = "the-words-of-a-user"


def faults(body: Any) -> dict[str, str]:
    try:
        TypeAdapter(FragmentSearchRequest).validate_python(body)
    except ValidationError as error:
        found = [{**e, "loc": ("body", *e["loc"])} for e in error.errors()]
        return {fault.at: fault.why for fault in faults_of(found, body)}
    raise AssertionError("the body is valid")


def dialogue(*turns: Any) -> dict[str, Any]:
    return {"query": "kites", "dialogue": {"utterances": list(turns)}}


def test_a_missing_field_is_named_by_its_path() -> None:
    found = faults(dialogue({"content": "hello"}))

    assert found == {"body/dialogue/utterances/0/speaker": "is required"}


def test_the_path_holds_no_label_of_the_validator() -> None:
    turn = {"speaker": "a", "content": [{"type": "image_url", "image_url": {"url": 7}}]}

    found = faults(dialogue(turn))

    assert found == {"body/dialogue/utterances/0/content/0/image_url/url": "must be a string"}


def test_a_value_that_fits_no_form_of_a_union_gets_one_fault() -> None:
    found = [
        {"type": "string_type", "loc": ("body", "content", "str")},
        {"type": "list_type", "loc": ("body", "content", "list[Part]")},
    ]

    (fault,) = faults_of(found, {"content": 7})

    assert (fault.at, fault.why) == ("body/content", "must be a string, or must be a list")


def test_a_finding_of_a_contracts_own_kind_keeps_its_words() -> None:
    found = faults(dialogue({"speaker": "a", "content": 7}))

    assert found == {
        "body/dialogue/utterances/0/content": "Content is a string or a list of content parts"
    }


def test_an_unknown_kind_of_part_is_told_which_there_are() -> None:
    found = faults(dialogue({"speaker": "a", "content": [{"type": SECRET}]}))

    assert found == {
        "body/dialogue/utterances/0/content/0": "needs 'type' to be one of 'text', 'image_url'"
    }


@pytest.mark.parametrize(
    "body",
    [
        dialogue({"speaker": "a", "content": "x", "time": SECRET}),
        dialogue({"speaker": "a", "content": [{"type": SECRET}]}),
        {"query": "x", "dialogue": SECRET},
        {"query": "x", "collection": SECRET + "/../"},
        {"query": "x", "collection": "c", "rerank": SECRET},
        {"query": "x", "collection": "c", "top_k": SECRET},
        {"query": "x", "collection": "c", "filter": {"after": SECRET}},
        {"query": "x", "collection": "c", "filter": {"metadata": {"k": [[SECRET]]}}},
        {"query": "x", "collection": "c", "refine": SECRET},
        {"query": "x", "collection": "c", "as": [{"x": SECRET}]},
        dialogue(SECRET),
        SECRET,
        [SECRET],
    ],
)
def test_no_fault_holds_what_was_sent_or_the_words_of_a_library(body: Any) -> None:
    text = repr(faults(body))

    assert SECRET not in text
    for word in ("pydantic", "Input should", "Value error", "Contract", "tagged-union"):
        assert word not in text


def test_a_request_that_is_wrong_in_many_places_gets_twenty_faults() -> None:
    turns = [{"speaker": "a", "content": "x", f"odd{i}": 1} for i in range(500)]

    assert len(faults(dialogue(*turns))) == 20


def test_a_huge_field_name_is_cut_and_its_control_characters_are_gone() -> None:
    (at,) = faults({"query": "x", "collection": "c", "a\n\x1b" + "z" * 1_000_000: 1})

    assert len(at) < 100
    assert at.isprintable()


def test_a_rule_of_a_contract_speaks_in_its_own_words() -> None:
    found = faults({"query": "x"})

    assert found == {"body": "give exactly one of `dialogue` and `collection`"}


def test_a_query_parameter_keeps_its_name() -> None:
    error = RequestValidationError([{"type": "int_parsing", "loc": ("query", "limit"), "ctx": {}}])

    (fault,) = faults_of(error.errors(), None)

    assert (fault.at, fault.why) == ("query/limit", "must be a whole number")


def test_every_kind_of_the_library_is_known_as_the_librarys() -> None:
    assert {entry["type"] for entry in list_all_errors()} <= set(get_args(ErrorType))
