from typing import Any

import pytest
from pydantic import ValidationError

from colloquy.contracts.fragments import FragmentSearchRequest, SplitRequest
from colloquy.contracts.generation import FragmentTask

DIALOGUE = {"utterances": [{"speaker": "a", "content": "x"}]}


def _faults(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refusal:
        FragmentSearchRequest.model_validate(fields)
    return [("/".join(map(str, e["loc"])), e["msg"]) for e in refusal.value.errors()]


def test_a_search_needs_a_query_and_a_dialogue_and_nothing_else() -> None:
    request = FragmentSearchRequest.model_validate({"query": "q", "dialogue": DIALOGUE})
    assert (request.top_k, request.refine, request.timeout_ms) == (5, True, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"query": "q"},
        {"query": "q", "dialogue": DIALOGUE, "collection": "c"},
        {"query": "q", "dialogue": None, "collection": None},
    ],
)
def test_exactly_one_place_is_searched(fields: dict[str, Any]) -> None:
    assert "exactly one of `dialogue` and `collection`" in _faults(**fields)[0][1]


@pytest.mark.parametrize("query", [None, "", "  ", "\n\t", "\u3000"])
def test_a_blank_query_is_refused(query: str | None) -> None:
    assert "a blank query finds nothing" in _faults(query=query, dialogue=DIALOGUE)[0][1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter", {"speaker": ["a"]}),
        ("candidates", 3),
        ("methods", ["bm25"]),
        ("rerank", "none"),
        ("merge", False),
    ],
)
def test_what_belongs_to_collections_is_refused_inside_a_dialogue(name: str, value: Any) -> None:
    assert (
        f"`{name}` belongs to a search in a `collection`"
        in (_faults(query="q", dialogue=DIALOGUE, **{name: value})[0][1])
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query", "x" * 4_097),
        ("query", 5),
        *[("top_k", wrong) for wrong in (0, 101, -1, "many", None, 1.5)],
        *[("timeout_ms", wrong) for wrong in (0, -1, 10**400, "soon")],
        ("collection", "../x"),
        ("quary", "q"),
        ("as", ["x" * 257]),
        ("query_image", {"url": ""}),
    ],
)
def test_limits_and_unknown_names_are_faults_of_that_field(name: str, value: Any) -> None:
    fields = {"query": "q", "dialogue": DIALOGUE} | {name: value}
    assert {at.split("/")[0] for at, _ in _faults(**fields)} == {name}


def test_a_split_has_the_same_dialogue_and_deadline() -> None:
    assert SplitRequest.model_validate({"dialogue": DIALOGUE, "timeout_ms": 1}).timeout_ms == 1
    with pytest.raises(ValidationError):
        SplitRequest.model_validate({"dialogue": DIALOGUE, "query": "q"})


@pytest.mark.parametrize("tenant", ["", "A", "../x", "a" * 64, "a/b", "a\n", "ａ", None])
def test_a_tenant_is_a_plain_name(tenant: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        FragmentTask.model_validate({"tenant": tenant, "dialogue": DIALOGUE, "query": "q"})
    assert refusal.value.errors()[0]["loc"] == ("tenant",)
