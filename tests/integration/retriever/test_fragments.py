import uuid
from typing import Any

import httpx
import pytest

from colloquy.media.blobs import BlobStore
from services.retriever.settings import Settings
from tests.doubles.vector_store import StoreDouble
from tests.integration.retriever.stack import (
    asked,
    fragment,
    numbers,
    open_collection,
    painted,
    picture_part,
    refused,
    retrieve,
    serving,
    stored,
    text_part,
    upsert,
)

pytestmark = pytest.mark.integration
FULL = fragment(
    7,
    "first",
    [text_part("second")],
    number=3,
    revision=5,
    metadata={"year": 2026, "paid": True, "note": "a=b"},
    acl=["staff", "anna"],
)


def count(client: httpx.Client, **selection: Any) -> int:
    answer = asked(client, "/v1/fragments/count", collection="c", selection=selection)
    return int(answer["count"])


def test_a_fragment_comes_back_as_it_was_sent(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, FULL)
        page = asked(client, "/v1/fragments/scroll", collection="c")
    (told,) = page["fragments"]
    for turn in told["utterances"]:
        assert turn.pop("ref") is None
        assert turn.pop("time") is None
    assert told == FULL
    assert page["next"] is None


def test_sending_it_again_changes_nothing(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        for _ in range(2):
            assert upsert(client, fragment(1, "hello"))["stored"] == 1
        assert count(client) == 1


def test_what_is_wrong_with_one_fragment_keeps_no_other_out(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore
) -> None:
    good = stored(blobs, painted((1, 1, 1)))
    foreign = stored(blobs, painted((2, 2, 2)), tenant="other")
    cut = blobs.get("acme", stored(blobs, painted((3, 3, 3)))).data[:60]
    broken = blobs.put("acme", cut, "image/png", 40, 30).ref
    with serving(clip_only, store) as client:
        open_collection(client)
        answer = upsert(
            client,
            fragment(1, [picture_part(good)]),
            fragment(2, [picture_part(foreign)]),
            fragment(3, "words"),
            fragment(4, [text_part("x"), picture_part(broken)]),
        )
        page = asked(client, "/v1/fragments/scroll", collection="c")
        metrics = client.get("/metrics").text
    assert answer["stored"] == 2
    assert answer["faults"] == [
        {"id": str(uuid.UUID(int=2)), "why": "An image reference is not known"},
        {"id": str(uuid.UUID(int=4)), "why": "the picture cannot be decoded"},
    ]
    assert [uuid.UUID(one["id"]).int for one in page["fragments"]] == [1, 3]
    assert 'retriever_fragments_total{outcome="refused"} 2.0' in metrics


@pytest.mark.parametrize(
    ("fragments", "at"),
    [
        ([fragment(1, "a"), fragment(2, "b"), fragment(1, "c")], "body/fragments/2/id"),
        ([fragment(1, "a", image_ids=[0])], "body/fragments/0/image_ids"),
        ([], "body/fragments"),
        ([fragment(1)], "body/fragments/0/utterances"),
    ],
)
def test_fragments_that_cannot_be_are_refused_by_place(
    clip_only: Settings, store: StoreDouble, fragments: list[Any], at: str
) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        reply = refused(client, "/v1/fragments/upsert", collection="c", fragments=fragments)
        assert count(client) == 0
    assert reply.status_code == 422
    assert [fault["at"] for fault in reply.json()["faults"]] == [at]


def test_fragments_are_selected_by_every_field(clip_only: Settings, store: StoreDouble) -> None:
    noon, later = "2026-03-01T12:00:00Z", "2026-03-01T14:00:00+01:00"
    timed = fragment(1, "a", metadata={"year": 2026})
    timed["utterances"][0]["time"] = noon
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, timed, fragment(2, "b", speaker="Bob", revision=2, acl=["staff"]), FULL)

        assert count(client) == 3
        assert count(client, ids=[str(uuid.UUID(int=1)), str(uuid.UUID(int=9))]) == 1
        assert count(client, ids=[]) == 0
        assert count(client, filter={"dialogue_id": ["d1", "d2"]}) == 2
        assert count(client, filter={"speaker": ["Bob"]}) == 1
        assert count(client, filter={"after": noon, "before": "2026-03-01T12:00:00"}) == 1
        assert count(client, filter={"after": later}) == 0
        assert count(client, filter={"metadata": {"year": [2026.0]}}) == 2
        assert count(client, filter={"metadata": {"year": ["2026"]}}) == 0
        assert count(client, **{"as": []}) == 1
        assert count(client, **{"as": ["staff"]}) == 3
        assert count(client, before_revision=2) == 1


def test_pages_are_read_in_order_of_ids(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, *(fragment(number, f"t{number}") for number in (5, 3, 1, 4, 2)))
        pages, cursor = [], None
        while True:
            body = {"collection": "c", "limit": 2, "cursor": cursor}
            page = asked(client, "/v1/fragments/scroll", **body)
            pages.append([uuid.UUID(one["id"]).int for one in page["fragments"]])
            if (cursor := page["next"]) is None:
                break
    assert pages == [[1, 2], [3, 4], [5]]


def test_what_is_deleted_is_found_no_more(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, *(fragment(number, "same words") for number in (1, 2, 3)))
        gone = asked(
            client,
            "/v1/fragments/delete",
            collection="c",
            selection={"filter": {"dialogue_id": ["d2"]}},
        )
        found = retrieve(client, query="words")
    assert gone == {"count": 1}
    assert sorted(numbers(found)) == [1, 3]


@pytest.mark.parametrize("selection", [{}, {"filter": {}}, {"filter": {"metadata": {}}}])
def test_deleting_everything_is_refused(
    clip_only: Settings, store: StoreDouble, selection: dict[str, Any]
) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, fragment(1, "hello"))
        reply = refused(client, "/v1/fragments/delete", collection="c", selection=selection)
        assert count(client) == 1
    assert reply.status_code == 422
    assert reply.json()["faults"][0]["at"] == "body/selection"
