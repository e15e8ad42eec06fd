import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from colloquy.media.blobs import BlobStore
from services.retriever.settings import Settings
from tests.doubles.pooling_engine import PoolingEngineDouble
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
    upsert,
)

pytestmark = pytest.mark.integration
Engine = tuple[str, PoolingEngineDouble]
TOPICS = ["red shoes", "fine weather", "train tickets", "cheese cake", "a new phone"]


def filled(client: httpx.Client, *spaces: str) -> None:
    open_collection(client, *spaces)
    upsert(client, *(fragment(number, topic) for number, topic in enumerate(TOPICS)))


def test_every_method_takes_part_and_ranks_are_fused(both: Settings, store: StoreDouble) -> None:
    with serving(both, store) as client:
        filled(client, "clip", "lamra")
        answer = retrieve(client, query="cheese cake", limit=3)
        alone = {
            method: numbers(retrieve(client, query="cheese cake", methods=[method]))
            for method in ("clip", "lamra", "bm25")
        }
    best = answer["candidates"][0]
    assert numbers(answer)[0] == 3
    assert len(answer["candidates"]) == 3
    assert best["by_method"].keys() == {"clip", "lamra", "bm25"}
    rrf = sum(1 / (60 + 1 + ranked.index(3)) for ranked in alone.values())
    assert best["score"] == pytest.approx(rrf)
    assert best["similarity"] == best["by_method"]["clip"]
    assert answer["models"] == {"clip": "clip@1", "lamra": "embed@1"}
    assert answer["degraded"] == []
    assert answer["timings_ms"].keys() == {"clip", "lamra", "bm25"}


def test_a_method_counts_as_much_as_the_profile_says(both: Settings, store: StoreDouble) -> None:
    weights = {"lamra": 3.0, "bm25": 0.5}
    tuning = both.tuning.model_copy(update={"fusion_weights": weights})
    with serving(both.model_copy(update={"tuning": tuning}), store) as client:
        filled(client, "clip", "lamra")
        answer = retrieve(client, query="cheese cake", limit=3)
        alone = {
            method: numbers(retrieve(client, query="cheese cake", methods=[method]))
            for method in ("clip", "lamra", "bm25")
        }
    for number, candidate in zip(numbers(answer), answer["candidates"], strict=True):
        assert candidate["score"] == pytest.approx(
            sum(
                weights.get(method, 1) / (60 + 1 + ranked.index(number))
                for method, ranked in alone.items()
                if number in ranked
            )
        )


def test_a_single_method_orders_by_its_own_score(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        filled(client)
        answer = retrieve(client, query="cheese cake", methods=["clip"])
    scores = [one["score"] for one in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert all(
        one["score"] == one["similarity"] == one["by_method"]["clip"]
        for one in answer["candidates"]
    )


def test_what_only_words_proposed_has_its_similarity_too(
    clip_only: Settings, store: StoreDouble
) -> None:
    tuning = clip_only.tuning.model_copy(update={"proposals": 1, "proposals_per_result": 1})
    with serving(clip_only.model_copy(update={"tuning": tuning}), store) as client:
        filled(client)
        exact = retrieve(client, query="cheese shoes", methods=["clip"], limit=5)
        cosines = {one["fragment"]["dialogue_id"]: one["similarity"] for one in exact["candidates"]}
        proposed = retrieve(client, query="cheese shoes", limit=1, methods=["clip"])
        (best,) = numbers(proposed)
        word = TOPICS[(best + 1) % len(TOPICS)].split()[-1]
        answer = retrieve(client, query=word, limit=2)
        full = retrieve(client, query=word, limit=5, methods=["clip"])
    assert len(cosines) == 5
    cosines = {one["fragment"]["dialogue_id"]: one["similarity"] for one in full["candidates"]}
    for one in answer["candidates"]:
        assert one["similarity"] == pytest.approx(cosines[one["fragment"]["dialogue_id"]])


def test_a_query_may_be_a_picture_with_or_without_words(
    both: Settings, store: StoreDouble, blobs: BlobStore, engine: Engine
) -> None:
    red, blue = (stored(blobs, painted(color)) for color in ((200, 0, 0), (0, 0, 200)))
    with serving(both, store) as client:
        open_collection(client, "clip", "lamra")
        upsert(
            client,
            fragment(1, [picture_part(red)]),
            fragment(2, [picture_part(blue)]),
            fragment(3, "nothing to see"),
        )
        by_picture = retrieve(client, query_image=blue, methods=["clip"])
        engine[1].asked.clear()
        by_both = retrieve(client, query="see", query_image=red)
        (question,) = engine[1].asked
    assert numbers(by_picture)[0] == 2
    assert by_picture["candidates"][0]["similarity"] == pytest.approx(1.0, abs=1e-4)
    assert by_both["candidates"][0]["by_method"].keys() >= {"clip", "lamra"}
    kinds = [part["type"] for part in question["messages"][-1]["content"] if part.get("text", "x")]
    assert kinds == ["image_url", "text"], "pictures come first in a query, as published"


def test_selected_fragments_alone_are_searched(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        open_collection(client)
        upsert(
            client,
            fragment(1, "red shoes", acl=["staff"]),
            fragment(2, "red shoes"),
            fragment(3, "red shoes", speaker="Bob"),
        )
        all_of = retrieve(client, query="shoes")
        public = retrieve(client, query="shoes", selection={"as": []})
        bobs = retrieve(client, query="shoes", selection={"filter": {"speaker": ["Bob"]}})
        none = retrieve(client, query="shoes", selection={"ids": []})
    assert sorted(numbers(all_of)) == [1, 2, 3]
    assert sorted(numbers(public)) == [2, 3]
    assert numbers(bobs) == [3]
    assert none["candidates"] == []
    assert none["degraded"] == []


def test_proposals_are_several_times_what_is_wanted_and_exactness_is_passed_on(
    clip_only: Settings, store: StoreDouble
) -> None:
    with serving(clip_only, store) as client:
        filled(client)
        retrieve(client, query="a", limit=3)
        retrieve(client, query="a", limit=500, exact=True)
    assert store.nearest_calls == [("clip", 100, False), ("clip", 2_000, True)]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, "body/query"),
        ({"query": "  "}, "body/query"),
        ({"query": "a", "methods": ["clip", "nothing"]}, "body/methods/1"),
        ({"query": "a", "methods": []}, "body/methods"),
        ({"query_image": "blob:1", "methods": ["bm25"]}, "body/methods/0"),
        ({"query": "a", "limit": 0}, "body/limit"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused_by_place(
    clip_only: Settings, store: StoreDouble, body: dict[str, Any], at: str
) -> None:
    with serving(clip_only, store) as client:
        filled(client)
        reply = refused(client, "/v1/retrieve", collection="c", **body)
    assert reply.status_code == 422
    assert [fault["at"] for fault in reply.json()["faults"]] == [at]


def test_a_query_picture_that_is_not_the_tenants_is_missing(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore
) -> None:
    foreign = stored(blobs, painted((1, 2, 3)), tenant="other")
    with serving(clip_only, store) as client:
        filled(client)
        reply = refused(client, "/v1/retrieve", collection="c", query="a", query_image=foreign)
    assert reply.status_code == 404
    assert reply.json()["type"].endswith("blob-missing")


def test_words_without_terms_find_nothing_and_degrade_nothing(
    clip_only: Settings, store: StoreDouble
) -> None:
    with serving(clip_only, store) as client:
        filled(client)
        answer = retrieve(client, query="?!", methods=["bm25"])
    assert (answer["candidates"], answer["degraded"]) == ([], [])


# --- one method down, late, or all ----------------------------------------------------------------


def test_an_engine_that_fails_leaves_the_other_methods(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client:
        filled(client, "clip", "lamra")
        engine[1].fails = (500, "EngineCore died")
        answer = retrieve(client, query="cheese cake")
        alone = refused(
            client, "/v1/retrieve", collection="c", query="cheese cake", methods=["lamra"]
        )
        metrics = client.get("/metrics").text
    assert numbers(answer)[0] == 3
    assert answer["degraded"] == ["lamra-left-out"]
    assert answer["models"] == {"clip": "clip@1"}
    assert alone.status_code == 503
    assert 'retriever_methods_left_out_total{method="lamra"} 1.0' in metrics


def test_a_method_that_is_late_is_left_out_while_there_is_time(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    patient = both.tuning.model_copy(update={"stuck_after_s": 60.0})
    with serving(both.model_copy(update={"tuning": patient}), store) as client:
        filled(client, "clip", "lamra")
        engine[1].hold.set()
        started = time.monotonic()
        reply = client.post(
            "/v1/retrieve",
            json={"tenant": "acme", "collection": "c", "query": "fine weather"},
            headers={"x-colloquy-deadline-ms": "2000"},
        )
        took_s = time.monotonic() - started
        alone = client.post(
            "/v1/retrieve",
            json={"tenant": "acme", "collection": "c", "query": "x", "methods": ["lamra"]},
            headers={"x-colloquy-deadline-ms": "300"},
        )
        engine[1].hold.clear()
    assert reply.status_code == 200
    assert reply.json()["degraded"] == ["lamra-left-out"]
    assert numbers(reply.json())[0] == 1
    assert 1.0 < took_s < 1.9
    assert alone.status_code == 504


def test_a_store_that_is_down_is_said_so(clip_only: Settings, store: StoreDouble) -> None:
    with serving(clip_only, store) as client:
        filled(client)
        store.down = True
        reply = refused(client, "/v1/retrieve", collection="c", query="a")
        ready = client.get("/readyz")
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert ready.status_code == 503


def test_words_are_searched_before_any_model_is_loaded(
    clip_only: Settings, store: StoreDouble, tmp_path: Path
) -> None:
    with serving(clip_only, store) as client:
        filled(client)
    without = clip_only.model_copy(update={"registry": [tmp_path]})
    with serving(without, store, wait_ready=False) as client:
        answer = retrieve(client, query="cheese cake")
        (state,) = asked(client, "/v1/collections/state", collection="c")["spaces"]
        written = refused(
            client, "/v1/fragments/upsert", collection="c", fragments=[fragment(9, "x")]
        )
    assert numbers(answer) == [3]
    assert answer["degraded"] == ["clip-left-out"]
    assert answer["candidates"][0]["similarity"] is None
    assert state["current"], "a model that is not there is no other model"
    assert written.status_code == 503


# --- queries that are remembered ------------------------------------------------------------------


def test_a_query_is_embedded_once_for_each_tenant(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client:
        for tenant in ("acme", "other"):
            open_collection(client, "lamra", tenant=tenant)
        first = retrieve(client, query="shoes")
        for _ in range(3):
            assert retrieve(client, query="shoes")["candidates"] == first["candidates"]
        once = len(engine[1].asked)
        retrieve(client, query="shoes", tenant="other")
        retrieve(client, query="shoe")
        metrics = client.get("/metrics").text
    assert once == 1
    assert len(engine[1].asked) == 3
    assert 'retriever_queries_known_total{space="lamra"} 3.0' in metrics


def test_only_so_many_queries_are_remembered(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    tuning = both.tuning.model_copy(update={"remembered_queries": 2})
    with serving(both.model_copy(update={"tuning": tuning}), store) as client:
        open_collection(client, "lamra")
        for query in ("a", "b", "a", "c", "a", "b"):
            retrieve(client, query=query)
    assert len(engine[1].asked) == 4, "`b` was used longest ago when `c` came"
