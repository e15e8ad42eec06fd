"""Collections, jobs, and tenants that know nothing of each other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    running_indexer,
    serving,
    talk,
    wait_for,
)

pytestmark = pytest.mark.integration


def test_putting_a_collection_again_changes_its_retention_alone(indexer: RunningIndexer) -> None:
    assert indexer.shelf(retention_days=30)["retention_days"] == 30
    assert indexer.shelf()["retention_days"] is None


@pytest.mark.parametrize(
    ("spec", "status", "at"),
    [
        ({"spaces": ["lamra"]}, 422, "body/spaces/0"),
        ({"spaces": ["clip", "clip"]}, 422, "body/spaces/1"),
        ({"kind": "documents"}, 422, "body/kind"),
        ({"retention_days": 0}, 422, "body/spec/retention_days"),
    ],
)
def test_a_collection_that_cannot_be_is_refused_with_the_place(
    indexer: RunningIndexer, spec: dict[str, Any], status: int, at: str
) -> None:
    reply = indexer.post("/v1/collections/put", collection="other", spec=spec)

    assert reply.status_code == status
    assert reply.json()["faults"][0]["at"] == at


def test_other_spaces_are_a_conflict(tmp_path: Path) -> None:
    with running_indexer(tmp_path) as indexer:
        indexer.retriever.models["lamra"] = "embed@1"
        both = indexer.settings.model_copy(update={"spaces": ["clip", "lamra"]})
        indexer.shelf()
        with serving(both, indexer.retriever, indexer.generator) as other:
            reply = other.post(
                "/v1/collections/put", collection=SHELF, spec={"spaces": ["clip", "lamra"]}
            )
            assert reply.status_code == 409
            assert other.shelf()["spaces"][0]["name"] == "clip"


def test_a_space_whose_model_changed_says_so(tmp_path: Path) -> None:
    with running_indexer(tmp_path) as indexer:
        assert indexer.shelf()["spaces"][0]["current"]
    with running_indexer(tmp_path) as indexer:
        indexer.retriever.models["clip"] = "clip@2"
        assert not indexer.ask("/v1/collections/get", collection=SHELF)["spaces"][0]["current"]


def test_one_tenant_reaches_nothing_of_anothers(indexer: RunningIndexer) -> None:
    job = indexer.send([talk("a", "x")], key="k")
    indexer.ended(job)
    rival = {"tenant": "rival", "collection": SHELF}
    asked = {
        "/v1/collections/get": rival,
        "/v1/collections/drop": rival,
        "/v1/dialogues/get": rival | {"dialogue_id": "a"},
        "/v1/dialogues/list": rival,
        "/v1/dialogues/delete": rival | {"dialogue_id": "a"},
        "/v1/jobs/get": {"tenant": "rival", "job": job},
        "/v1/jobs/cancel": {"tenant": "rival", "job": job},
        "/v1/jobs/items": {"tenant": "rival", "job": job},
        "/v1/jobs/seal": {"tenant": "rival", "job": job},
        "/v1/jobs/open": rival | {"idempotency_key": "k", "body_sha256": "0" * 64},
        "/v1/reindex": rival,
    }
    for path, body in asked.items():
        assert indexer.http.post(path, json=body).status_code == 404, path
    for path, name in (("/v1/collections/list", "collections"), ("/v1/jobs/list", "jobs")):
        assert indexer.http.post(path, json={"tenant": "rival"}).json()[name] == []
    erased = indexer.http.post("/v1/erase", json={"tenant": "rival", "what": {"speaker": "Ana"}})
    wait_for(lambda: "done" in indexer.http.post(
        "/v1/jobs/get", json={"tenant": "rival", "job": erased.json()["id"]}
    ).text)  # fmt: skip
    assert len(indexer.searched()) == 1
    assert indexer.read("a")["dialogue"]["utterances"][0]["speaker"] == "Ana"


def test_equal_dialogues_of_two_tenants_are_two(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"))
    rival = {"tenant": "rival", "collection": SHELF}
    indexer.http.post("/v1/collections/put", json=rival | {"spec": {}})
    opened = indexer.http.post("/v1/jobs/open", json=rival | {"body_sha256": "0" * 64}).json()
    job = {"tenant": "rival", "job": opened["job"]}
    items = [{"position": 0, "dialogue": talk("a", "x")}]
    indexer.http.post("/v1/jobs/items", json=job | {"items": items})
    indexer.http.post("/v1/jobs/seal", json=job)
    wait_for(lambda: len(indexer.retriever.records("rival", SHELF)) == 1)

    (mine,), (theirs,) = indexer.searched(), indexer.retriever.records("rival", SHELF)
    assert mine.id != theirs.id


def test_the_same_key_gives_the_same_job_and_another_body_a_conflict(
    indexer: RunningIndexer,
) -> None:
    job = indexer.send([talk("a", "x")], key="k")

    assert indexer.send([talk("a", "x")], key="k") == job
    reply = indexer.post(
        "/v1/jobs/open", collection=SHELF, idempotency_key="k", body_sha256="1" * 64
    )
    assert reply.status_code == 409


def test_a_cancelled_job_stops(tmp_path: Path) -> None:
    with running_indexer(tmp_path, in_flight=4, upserts_at_once=1) as indexer:
        indexer.shelf()
        indexer.retriever.delay_s = 0.1
        job = indexer.send([talk(f"d{n}", "x") for n in range(200)])
        wait_for(lambda: len(indexer.searched()) >= 4)

        told = indexer.ask("/v1/jobs/cancel", job=job)
        # What is under way ends as it would have; until then the job is not cancelled.
        all_ended = told["counts"]["indexed"] + told["counts"]["cancelled"] == 200
        assert told["state"] == ("cancelled" if all_ended else "cancelling")
        found = indexer.ended(job)
        counts = found["counts"]
        assert found["state"] == "cancelled"
        assert counts["cancelled"] > 100
        assert counts["indexed"] + counts["cancelled"] == 200
        assert len(indexer.searched()) == counts["indexed"]


def test_a_tenant_has_no_more_collections_than_it_may(indexer: RunningIndexer) -> None:
    def put(name: str, tenant: str = TENANT) -> httpx.Response:
        body = {"tenant": tenant, "collection": name, "spec": {}, "max_collections": 3}
        return indexer.post("/v1/collections/put", **body)

    with ThreadPoolExecutor(6) as threads:
        replies = list(threads.map(put, (f"shelf-{n}" for n in range(6))))

    made = [n for n, reply in enumerate(replies) if reply.status_code == 200]
    assert sorted(reply.status_code for reply in replies) == [200, 200, 409, 409, 409, 409]
    refused = next(reply.json() for reply in replies if reply.status_code == 409)
    assert refused["type"].endswith(":too-many-collections")
    assert "at most 3 collections" in refused["detail"]
    names = {SHELF, *(f"shelf-{n}" for n in made)}
    assert indexer.retriever.held.keys() == {(TENANT, name, False) for name in names}
    assert put(SHELF).status_code == 200  # it is there already
    assert put("shelf", tenant="rival").status_code == 200
    indexer.ask("/v1/collections/drop", collection=SHELF)
    assert put("another").status_code == 200
