"""The indexer over HTTP, with doubles of the retriever and the generator."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from colloquy.contracts.retrieval import FragmentRecord, UpsertFragments
from colloquy.media.failures import BlobMissing
from colloquy.servicekit.problems import Unavailable, UpstreamFailed, UpstreamMalformed
from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    long_talk,
    running_indexer,
    serving,
    shows,
    talk,
    wait_for,
)

pytestmark = pytest.mark.integration


def texts(records: list[FragmentRecord]) -> list[list[str]]:
    return [[str(turn.content) for turn in record.utterances] for record in records]


def stored_times(indexer: RunningIndexer) -> int:
    return sum(indexer.retriever.upserted.values())


# --- indexing ---------------------------------------------------------------------------------


def test_a_short_dialogue_is_one_fragment_and_nobody_is_asked(indexer: RunningIndexer) -> None:
    picture = indexer.picture()
    turns = [shows("Ana", "look", picture), {"speaker": "Ben", "content": "lovely"}]
    job = indexer.index(
        {"id": "a", "metadata": {"shop": "kites"}, "acl": ["team"], "utterances": turns}
    )

    (record,) = indexer.searched()
    assert (job["state"], job["counts"]["indexed"]) == ("done", 1)
    assert (record.dialogue_id, record.number, record.revision) == ("a", 0, 1)
    assert [turn.id for turn in record.utterances] == [0, 1]
    assert record.utterances[0].images == [picture]
    assert (record.image_ids, record.metadata, record.acl) == ([0], {"shop": "kites"}, ["team"])
    assert indexer.generator.asked == []


def test_a_long_dialogue_is_split_by_its_topics(indexer: RunningIndexer) -> None:
    indexer.generator.split_answer = [[0, 1, 2, 9], [3, 4, 5, 6, 7, 8], list(range(10, 20))]

    indexer.index(long_talk("a", 20))

    assert [[turn.id for turn in record.utterances] for record in indexer.searched()] == [
        [0, 1, 2, 9], [3, 4, 5, 6, 7, 8], list(range(10, 20)),
    ]  # fmt: skip
    assert indexer.read("a")["fragments"][0] == [0, 1, 2, 9]


def test_pictures_keep_the_numbers_of_their_dialogue(indexer: RunningIndexer) -> None:
    one, two = indexer.picture(1), indexer.picture(2)
    turns = [shows("Ana", f"turn {n}", *([one, two] if n % 2 else [])) for n in range(16)]

    indexer.index({"id": "a", "utterances": turns})

    assert [record.image_ids for record in indexer.searched()] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15],
    ]  # fmt: skip


def test_a_fragment_that_is_too_long_is_cut_evenly(tmp_path: Path) -> None:
    with running_indexer(tmp_path, max_fragment_turns=10) as indexer:
        indexer.shelf()
        indexer.generator.split_answer = [list(range(21)), [21, 22]]
        indexer.index(long_talk("a", 23))

        assert [len(record.utterances) for record in indexer.searched()] == [7, 7, 7, 2]


def test_a_fragment_without_content_is_not_searched(indexer: RunningIndexer) -> None:
    job = indexer.index(talk("blank", "", "  "), talk("a", "hello"))

    assert job["counts"]["indexed"] == 2
    assert [record.dialogue_id for record in indexer.searched()] == ["a"]


def test_many_dialogues_travel_together(indexer: RunningIndexer) -> None:
    indexer.retriever.delay_s = 0.05
    job = indexer.index(*(talk(f"d{n}", f"hello {n}") for n in range(300)))

    assert job["counts"]["indexed"] == 300
    assert len(indexer.searched()) == 300
    assert len(indexer.retriever.calls) < 60


def test_thousands_of_short_dialogues_are_indexed_in_a_minute(indexer: RunningIndexer) -> None:
    indexer.index(*(talk(f"warm{n}", "x") for n in range(20)))
    count = 1_000
    started = time.process_time()

    job = indexer.index(*(talk(f"d{n}", f"hello {n}", "and you?") for n in range(count)))

    # The processor's time, of indexer and doubles together: others may use the machine too.
    per_minute = count / (time.process_time() - started) * 60
    assert job["counts"]["indexed"] == count
    assert per_minute > 3_000


# --- sending again, changing, adding ----------------------------------------------------------


def test_sending_again_changes_nothing(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "hello"), long_talk("b", 20))
    before = stored_times(indexer)

    job = indexer.index(talk("a", "hello"), long_talk("b", 20))

    assert (job["counts"]["indexed"], job["counts"]["unchanged"]) == (2, 2)
    assert stored_times(indexer) == before
    assert indexer.read("a")["revision"] == 1


def test_a_changed_dialogue_replaces_its_fragments(indexer: RunningIndexer) -> None:
    indexer.index(long_talk("a", 20, "old"), long_talk("b", 20))
    indexer.index(talk("a", "new"))

    assert texts(indexer.searched("a")) == [["new"]]
    assert len(indexer.searched("b")) == 5
    found = indexer.read("a")
    assert (found["revision"], found["fragments"]) == (2, [[0]])


def test_a_changed_turn_embeds_its_fragment_alone(indexer: RunningIndexer) -> None:
    told = long_talk("a", 20)
    indexer.index(told)
    before = stored_times(indexer)
    told["utterances"][5]["content"] = "changed"

    indexer.index(told)

    assert stored_times(indexer) == before + 1
    assert "changed" in texts(indexer.searched("a"))[1]


def test_changed_metadata_reach_every_fragment(indexer: RunningIndexer) -> None:
    indexer.index(long_talk("a", 20))
    indexer.index(long_talk("a", 20) | {"metadata": {"shop": "kites"}, "acl": ["team"]})

    assert {record.metadata.get("shop") for record in indexer.searched()} == {"kites"}
    assert {tuple(record.acl) for record in indexer.searched()} == {("team",)}


def test_of_two_in_one_request_the_later_wins(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "first"), talk("a", "second"), talk("a", "third"))

    assert texts(indexer.searched("a")) == [["third"]]
    assert indexer.read("a")["revision"] == 3


def append(indexer: RunningIndexer, identity: str, *contents: Any, **more: Any) -> Any:
    turns = [c if isinstance(c, dict) else {"speaker": "Ana", "content": c} for c in contents]
    body = {"dialogue_id": identity, "dialogue": {"utterances": turns}, "body_sha256": "0" * 64}
    return indexer.post("/v1/dialogues/append", collection=SHELF, **body | more)


def test_added_turns_embed_only_the_fragment_that_goes_on(indexer: RunningIndexer) -> None:
    indexer.index(long_talk("a", 20))
    before = stored_times(indexer)
    asked = len(indexer.generator.asked)

    reply = append(indexer, "a", "turn 20", "turn 21", expected_turns=20)
    job = indexer.ended(reply.json()["job"])

    assert (job["kind"], job["state"]) == ("append", "done")
    assert stored_times(indexer) == before + 1
    assert len(indexer.generator.asked) == asked
    assert indexer.read("a")["fragments"][-1] == [16, 17, 18, 19, 20, 21]
    assert [turn.id for turn in indexer.searched("a")[-1].utterances] == [16, 17, 18, 19, 20, 21]


def test_many_added_turns_are_split_from_where_the_last_fragment_began(
    indexer: RunningIndexer,
) -> None:
    indexer.index(long_talk("a", 20))
    before = stored_times(indexer)

    indexer.ended(append(indexer, "a", *(f"more {n}" for n in range(12))).json()["job"])

    fragments = indexer.read("a")["fragments"]
    assert [i for ids in fragments for i in ids] == list(range(32))
    assert fragments[:4] == [list(range(n, n + 4)) for n in range(0, 16, 4)]
    # The first of the new fragments is the one that was there: nothing was added to that topic.
    assert stored_times(indexer) == before + len(fragments) - 5
    assert texts(indexer.searched("a")) == [
        [f"turn {i}" if i < 20 else f"more {i - 20}" for i in ids] for ids in fragments
    ]


def test_added_turns_bring_pictures(indexer: RunningIndexer) -> None:
    one, two = indexer.picture(1), indexer.picture(2)
    indexer.index({"id": "a", "utterances": [shows("Ana", "x", one)]})

    indexer.ended(append(indexer, "a", shows("Ben", "y", two)).json()["job"])
    indexer.blobs.sweep(0)

    (record,) = indexer.searched()
    assert record.image_ids == [0, 1]
    assert indexer.blobs.get(TENANT, one)
    assert indexer.blobs.get(TENANT, two)


def test_turns_for_another_length_are_a_conflict(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "one", "two"))

    reply = append(indexer, "a", "x", expected_turns=1)

    assert reply.status_code == 409
    assert reply.json()["turns"] == 2


def test_turns_of_an_unknown_dialogue_or_with_an_unknown_picture_are_not_found(
    indexer: RunningIndexer,
) -> None:
    indexer.index(talk("a", "one"))

    assert append(indexer, "b", "x").status_code == 404
    reply = append(indexer, "a", shows("Ana", "x", "blob:" + "0" * 64))
    assert (reply.status_code, reply.json()["type"]) == (404, "urn:colloquy:problem:blob-missing")
    assert reply.json()["faults"][0]["at"] == "utterances/0/content"


def test_an_addition_with_the_same_key_is_made_once(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "one"))

    jobs = {append(indexer, "a", "two", idempotency_key="k").json()["job"] for _ in range(3)}

    indexer.ended(jobs.pop())
    assert not jobs
    assert len(indexer.read("a")["dialogue"]["utterances"]) == 2


# --- services that are away, and items that are wrong ------------------------------------------


def test_an_item_waits_while_the_generator_is_away(indexer: RunningIndexer) -> None:
    indexer.generator.failure = Unavailable("gone")
    job = indexer.send([long_talk("a", 20), talk("b", "short")])
    wait_for(lambda: len(indexer.generator.asked) >= 5)
    wait_for(lambda: len(indexer.searched("b")) == 1)
    assert indexer.ask("/v1/jobs/get", job=job)["counts"]["failed"] == 0

    indexer.generator.failure = None

    counts = indexer.ended(job)["counts"]
    assert (counts["indexed"], counts["degraded"], counts["failed"]) == (2, 0, 0)
    assert len(indexer.searched("a")) == 5


def test_an_item_waits_while_the_retriever_is_away(indexer: RunningIndexer) -> None:
    indexer.retriever.failure = Unavailable("gone")
    job = indexer.send([talk("a", "x")])
    waits = 'indexer_items_total{action="put",outcome="waiting"} 5.0'
    wait_for(lambda: waits in indexer.http.get("/metrics").text)
    assert indexer.ask("/v1/jobs/get", job=job)["state"] == "running"

    indexer.retriever.failure = None

    assert indexer.ended(job)["counts"]["indexed"] == 1


@pytest.mark.parametrize("failure", [UpstreamMalformed("no split"), UpstreamFailed("broken")])
def test_what_no_model_can_split_is_cut_into_windows_openly(
    indexer: RunningIndexer, failure: UpstreamFailed
) -> None:
    indexer.generator.failure = failure

    counts = indexer.index(long_talk("a", 25))["counts"]

    assert (counts["indexed"], counts["degraded"]) == (1, 1)
    assert [len(record.utterances) for record in indexer.searched()] == [8, 8, 9]


def test_a_split_that_is_no_partition_is_not_believed(indexer: RunningIndexer) -> None:
    indexer.generator.split_answer = [[0, 1], [1, 2]]

    assert indexer.index(long_talk("a", 25))["counts"]["degraded"] == 1
    ids = [turn.id for record in indexer.searched() for turn in record.utterances]
    assert ids == list(range(25))


def refuses(word: str) -> Any:
    def refuse(record: FragmentRecord) -> str | None:
        said = any(word in str(turn.content) for turn in record.utterances)
        return "its picture cannot be read" if said else None

    return refuse


def test_a_fragment_that_cannot_be_embedded_is_the_items_error(indexer: RunningIndexer) -> None:
    indexer.retriever.refuses = refuses("turn 9")

    job = indexer.index(talk("a", "fine"), long_talk("b", 20))

    assert (job["state"], job["counts"]["indexed"], job["counts"]["failed"]) == ("done", 1, 1)
    assert job["errors"] == [
        {
            "item": 1,
            "line": None,
            "dialogue_id": "b",
            "at": "utterances/8",
            "why": "its picture cannot be read",
        }
    ]
    assert indexer.searched("b") == []
    assert indexer.post("/v1/dialogues/get", collection=SHELF, dialogue_id="b").status_code == 404


def test_a_change_that_fails_leaves_what_was_there(indexer: RunningIndexer) -> None:
    indexer.index(long_talk("a", 20, "old"))
    before = texts(indexer.searched("a"))
    indexer.retriever.refuses = refuses("new 17")

    assert indexer.index(long_talk("a", 20, "new"))["state"] == "failed"

    assert texts(indexer.searched("a")) == before
    assert indexer.read("a")["dialogue"]["utterances"][0]["content"] == "old 0"


def test_an_item_that_fails_again_and_again_is_given_up(indexer: RunningIndexer) -> None:
    indexer.retriever.failure = UpstreamFailed("the model failed")
    job = indexer.send([talk("a", "x")])
    given_up = 'indexer_items_total{action="put",outcome="failed"} 1.0'
    wait_for(lambda: given_up in indexer.http.get("/metrics").text)
    indexer.retriever.failure = None

    found = indexer.ended(job)

    assert found["state"] == "failed"
    assert found["errors"][0]["why"] == "the model failed"
    assert indexer.searched() == []


def test_what_the_retriever_has_lost_is_made_again(indexer: RunningIndexer) -> None:
    indexer.retriever.held.clear()

    assert indexer.index(talk("a", "x"))["state"] == "done"
    assert len(indexer.searched()) == 1


def test_a_picture_that_is_not_there_is_the_items_error(indexer: RunningIndexer) -> None:
    lost = "blob:" + "0" * 64
    turns = [{"speaker": "Ana", "content": "x"}, shows("Ben", "y", lost)]

    job = indexer.index({"id": "a", "utterances": turns}, talk("b", "fine"))

    assert job["counts"]["indexed"] == 1
    assert [(e["item"], e["dialogue_id"], e["at"]) for e in job["errors"]] == [
        (0, "a", "utterances/1/content")
    ]


# --- deleting, dropping -----------------------------------------------------------------------


def delete(indexer: RunningIndexer, identity: str, **headers: str) -> Any:
    body = {"tenant": TENANT, "collection": SHELF, "dialogue_id": identity}
    return indexer.http.post("/v1/dialogues/delete", json=body, headers=headers)


def test_a_deleted_dialogue_is_gone_when_it_is_answered(indexer: RunningIndexer) -> None:
    mine, shared = indexer.picture(1), indexer.picture(2)
    indexer.index(
        {"id": "a", "utterances": [shows("Ana", "x", mine, shared)]},
        {"id": "b", "utterances": [shows("Ana", "y", shared)]},
    )

    assert delete(indexer, "a").status_code == 200

    assert indexer.searched("a") == []
    assert delete(indexer, "a").status_code == 404
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, mine)
    assert indexer.blobs.get(TENANT, shared)


def test_a_deletion_that_cannot_be_waited_for_is_done_all_the_same(
    indexer: RunningIndexer,
) -> None:
    indexer.index(talk("a", "x"))
    indexer.retriever.failure = Unavailable("gone")

    reply = delete(indexer, "a", **{"x-colloquy-deadline-ms": "300"})
    assert reply.status_code == 504
    assert indexer.post("/v1/dialogues/get", collection=SHELF, dialogue_id="a").status_code == 404

    indexer.retriever.failure = None
    wait_for(lambda: indexer.searched("a") == [])
    wait_for(lambda: indexer.http.get("/v1/summary").json()["dialogues"] == 0)


def test_a_dropped_collection_leaves_nothing(indexer: RunningIndexer) -> None:
    picture = indexer.picture()
    job = indexer.send([{"id": "a", "utterances": [shows("Ana", "x", picture)]}], key="k")
    indexer.ended(job)

    indexer.ask("/v1/collections/drop", collection=SHELF)

    assert indexer.retriever.held == {}
    with pytest.raises(BlobMissing):
        indexer.blobs.get(TENANT, picture)
    assert indexer.post("/v1/collections/get", collection=SHELF).status_code == 404
    assert indexer.post("/v1/jobs/get", job=job).status_code == 404
    assert indexer.post("/v1/collections/drop", collection=SHELF).status_code == 404


def test_a_collection_that_is_made_again_is_empty(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"), key="k")
    indexer.ask("/v1/collections/drop", collection=SHELF)
    indexer.shelf()

    assert indexer.shelf()["dialogues"] == 0
    assert indexer.index(talk("a", "x"), key="k")["counts"]["unchanged"] == 0
    assert len(indexer.searched()) == 1


def test_a_drop_that_was_broken_off_goes_on(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"))
    indexer.retriever.failure = Unavailable("gone")
    assert indexer.post("/v1/collections/drop", collection=SHELF).status_code == 503
    assert indexer.post("/v1/collections/get", collection=SHELF).status_code == 404

    indexer.retriever.failure = None

    wait_for(lambda: indexer.retriever.held == {})
    wait_for(lambda: indexer.post("/v1/collections/put", collection=SHELF, spec={}).is_success)


# --- collections, jobs, tenants ---------------------------------------------------------------


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


def test_what_was_not_changed_for_its_retention_goes(tmp_path: Path) -> None:
    with running_indexer(tmp_path) as indexer:
        indexer.shelf(retention_days=2)
        picture = indexer.picture()
        indexer.index({"id": "old", "utterances": [shows("Ana", "x", picture)]}, talk("new", "y"))
        with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
            db.execute("UPDATE dialogues SET updated = updated - 3 * 86400 WHERE id = 'old'")
        db.close()

        wait_for(lambda: [r.dialogue_id for r in indexer.searched()] == ["new"])
        wait_for(lambda: indexer.http.get("/v1/summary").json()["dialogues"] == 1)
        wait_for(lambda: indexer.blobs.sweep(10**9) == 0 and not has(indexer, picture))


def has(indexer: RunningIndexer, picture: str) -> bool:
    try:
        indexer.blobs.get(TENANT, picture)
    except BlobMissing:
        return False
    return True


def test_metrics_tell_depth_and_outcomes(indexer: RunningIndexer) -> None:
    indexer.index(talk("a", "x"), talk("a", "x"))

    shown = indexer.http.get("/metrics").text

    assert 'indexer_items_total{action="put",outcome="indexed"} 1.0' in shown
    assert 'indexer_items_total{action="put",outcome="unchanged"} 1.0' in shown
    assert "indexer_lease_expiries_total 0.0" in shown
    assert 'indexer_item_seconds_count{action="put"} 2.0' in shown


def test_it_is_not_ready_when_its_blobs_cannot_be_written(indexer: RunningIndexer) -> None:
    assert indexer.http.get("/readyz").status_code == 200
    indexer.settings.blobs.rename(indexer.settings.blobs.with_name("away"))

    reply = indexer.http.get("/readyz")

    assert reply.status_code == 503
    assert [c["name"] for c in reply.json()["checks"] if not c["ready"]] == ["blobs"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs/open", {"collection": SHELF, "body_sha256": "x"}),
        ("/v1/jobs/items", {"job": "x", "items": [{"position": 0, "dialogue": {"id": "a"}}]}),
        ("/v1/collections/put", {"collection": "a/b", "spec": {}}),
        ("/v1/dialogues/get", {"collection": SHELF, "dialogue_id": ""}),
        ("/v1/erase", {"what": {}}),
        ("/v1/erase", {"what": {"speaker": "a", "metadata": {"b": 1}}}),
    ],
)
def test_bad_input_is_named(indexer: RunningIndexer, path: str, body: dict[str, Any]) -> None:
    reply = indexer.post(path, **body)

    assert reply.status_code == 422
    assert reply.json()["faults"]


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


def test_a_call_carries_little_where_fragments_are_long(tmp_path: Path) -> None:
    long = ["word " * 18_000, "z"]
    with running_indexer(tmp_path) as indexer:
        indexer.shelf()
        indexer.index(*(talk(f"long-{n}", *long) for n in range(12)))
        in_long_calls = max(indexer.retriever.calls)
        indexer.retriever.delay_s = 0.2  # what comes meanwhile travels together
        indexer.index(*(talk(f"short-{n}", "x", "y") for n in range(64)))
        in_short_calls = max(indexer.retriever.calls)
    assert in_long_calls <= 2
    assert in_short_calls > 2


def test_a_fragment_too_long_for_any_call_fails_alone_and_the_others_are_indexed(
    tmp_path: Path,
) -> None:
    endless = talk("endless", *["word " * 20_000] * 3)
    with running_indexer(tmp_path, call_timeout_s=0.5) as indexer:
        indexer.shelf()
        indexer.retriever.hangs_on = lambda body: any(
            record.dialogue_id == "endless" for record in body.fragments
        )
        job = indexer.index(endless, *(talk(f"d{n}", "x") for n in range(5)))
    assert (job["counts"]["indexed"], job["counts"]["failed"]) == (5, 1)
    assert job["errors"][0]["dialogue_id"] == "endless"
    assert "too long" in job["errors"][0]["why"]


def test_how_long_a_fragment_is_tried_is_bounded_and_its_place_is_named(tmp_path: Path) -> None:
    told = long_talk("endless", 20)
    for turn in told["utterances"][10:13]:
        turn["content"] = "word " * 20_000
    tried = []

    def hangs(body: UpsertFragments) -> bool:
        heavy = any(record.number == 1 for record in body.fragments)
        tried.extend([1] * heavy)
        return heavy

    limits = {"call_timeout_s": 0.6, "max_tried_s": 1.0, "max_failures": 1_000}
    with running_indexer(tmp_path, **limits) as indexer:
        indexer.shelf()
        indexer.generator.split_answer = [list(range(10)), list(range(10, 20))]
        indexer.retriever.hangs_on = hangs
        job = indexer.index(told)

        assert job["state"] == "failed"
        assert [(error["dialogue_id"], error["at"]) for error in job["errors"]] == [
            ("endless", "utterances/10")
        ]
        assert "too long" in job["errors"][0]["why"]
        assert 1 <= len(tried) <= 2  # one where the machine was too busy to end it sooner
        wait_for(lambda: indexer.searched() == [])


def test_how_long_a_dialogue_is_split_is_bounded(tmp_path: Path) -> None:
    limits = {"call_timeout_s": 0.4, "max_tried_s": 0.6, "max_failures": 1_000}
    with running_indexer(tmp_path, **limits) as indexer:
        indexer.shelf()
        indexer.generator.delay_s = 2.0
        job = indexer.index(long_talk("slow", 20))

    assert (job["state"], job["counts"]["degraded"]) == ("done", 1)
