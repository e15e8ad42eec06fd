import pytest

from services.retriever.settings import Settings
from tests.doubles.vector_store import StoreDouble
from tests.integration.retriever.clips import write_checkpoint
from tests.integration.retriever.stack import (
    asked,
    fragment,
    numbers,
    open_collection,
    refused,
    retrieve,
    serving,
    upsert,
)

pytestmark = pytest.mark.integration


def test_a_collection_is_opened_once_and_told(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        first = open_collection(client, kind="documents")
        again = open_collection(client, kind="documents")
        upsert(client, fragment(1, "hello"))
        state = asked(client, "/v1/collections/state", collection="c")
    assert first == again
    assert first["fragments"] == 0
    assert state == first | {"fragments": 1}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "documents"}, "the collection holds dialogues"),
        ({"spaces": ["clip", "lamra"]}, "the collection has the spaces `clip`"),
        ({"spaces": ["other"]}, "the collection has the spaces `clip`"),
    ],
)
def test_another_kind_or_other_spaces_are_a_conflict(
    both: Settings, store: StoreDouble, change: dict[str, object], why: str
) -> None:
    with serving(both, store) as client:
        open_collection(client)
        body = {"collection": "c", "kind": "dialogues", "spaces": ["clip"]} | change
        reply = refused(client, "/v1/collections/open", **body)
    assert reply.status_code == 409
    assert reply.json()["detail"] == why


@pytest.mark.parametrize(
    ("spaces", "at"),
    [(["nothing"], "body/spaces/0"), (["clip", "clip"], "body/spaces/1"), ([], "body/spaces")],
)
def test_spaces_that_cannot_be_are_refused_by_place(
    clip_only: Settings, store: StoreDouble, spaces: list[str], at: str
) -> None:
    with serving(clip_only, store) as client:
        reply = refused(client, "/v1/collections/open", collection="c", spaces=spaces)
    assert reply.status_code == 422
    assert [fault["at"] for fault in reply.json()["faults"]] == [at]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/collections/state", {}),
        ("/v1/collections/drop", {}),
        ("/v1/collections/promote", {}),
        ("/v1/collections/optimise", {}),
        ("/v1/fragments/upsert", {"fragments": [fragment(1, "a")]}),
        ("/v1/fragments/delete", {"selection": {"filter": {"speaker": ["a"]}}}),
        ("/v1/fragments/count", {}),
        ("/v1/fragments/scroll", {}),
        ("/v1/retrieve", {"query": "a"}),
    ],
)
def test_a_collection_that_is_not_there_is_a_404_of_its_own_type(
    clip_only: Settings, store: StoreDouble, path: str, body: dict[str, object]
) -> None:
    with serving(clip_only, store) as client:
        open_collection(client, name="other")
        reply = refused(client, path, collection="c", **body)
    assert reply.status_code == 404
    assert reply.json()["type"] == "urn:colloquy:problem:collection-missing"


def test_tenants_see_their_own_collections_alone(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client, name="mine")
        open_collection(client, name="too")
        upsert(client, fragment(1, "secret"), name="mine")
        open_collection(client, name="mine", tenant="other")
        mine = asked(client, "/v1/collections/list")["collections"]
        others = asked(client, "/v1/collections/list", tenant="other")["collections"]
        found = retrieve(client, "mine", tenant="other", query="secret")
        foreign = refused(client, "/v1/collections/state", collection="too", tenant="other")
    assert [one["collection"] for one in mine] == ["mine", "too"]
    assert [(one["collection"], one["fragments"]) for one in others] == [("mine", 0)]
    assert found["candidates"] == []
    assert foreign.status_code == 404


def test_a_dropped_collection_is_gone(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, fragment(1, "hello"))
        assert asked(client, "/v1/collections/drop", collection="c") == {}
        assert refused(client, "/v1/collections/state", collection="c").status_code == 404
        assert open_collection(client)["fragments"] == 0


def test_a_staged_copy_is_filled_beside_the_collection_and_then_takes_its_place(
    clip_only: Settings, store: StoreDouble
) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, fragment(1, "old words"))
        open_collection(client, staged=True)
        upsert(client, fragment(2, "new words"), fragment(3, "more words"), staged=True)

        before = retrieve(client, query="words")
        promoted = asked(client, "/v1/collections/promote", collection="c")
        after = retrieve(client, query="words")
        again = refused(client, "/v1/collections/promote", collection="c")

    assert numbers(before) == [1]
    assert promoted["fragments"] == 2
    assert sorted(numbers(after)) == [2, 3]
    assert again.status_code == 404


def test_another_model_makes_a_space_that_is_not_current_until_it_is_reindexed(
    clip_only: Settings, store: StoreDouble, tmp_path: object
) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(client, fragment(1, "red shoes"))
    write_checkpoint(clip_only.state / "registry", version="2", seed=2)
    space = clip_only.spaces["clip"].model_copy(update={"model": "clip@2"})
    changed = clip_only.model_copy(
        update={"spaces": {"clip": space}, "registry": [clip_only.state / "registry"]}
    )
    with serving(changed, store) as client:
        (state,) = open_collection(client)["spaces"]
        written = refused(
            client, "/v1/fragments/upsert", collection="c", fragments=[fragment(2, "x")]
        )
        found = retrieve(client, query="shoes")
        by_vector = refused(client, "/v1/retrieve", collection="c", query="shoes", methods=["clip"])

        open_collection(client, staged=True)
        upsert(client, fragment(1, "red shoes"), staged=True)
        (renewed,) = asked(client, "/v1/collections/promote", collection="c")["spaces"]
        assert retrieve(client, query="shoes", methods=["clip"])["models"] == {"clip": "clip@2"}

    assert (state["revision"], state["current"]) == ("clip@1", False)
    assert (written.status_code, by_vector.status_code) == (409, 503)
    assert numbers(found) == [1]
    assert found["degraded"] == ["clip-left-out"]
    assert (renewed["revision"], renewed["current"]) == ("clip@2", True)


def test_a_collection_is_optimised_when_it_is_asked(
    clip_only: Settings, store: StoreDouble
) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        asked(client, "/v1/collections/optimise", collection="c")
    assert [key.collection for key in store.optimised] == ["c"]
