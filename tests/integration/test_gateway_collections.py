"""Collections, the dialogues in them and their jobs at a real gateway."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from colloquy.contracts.collections import FINAL
from colloquy.servicekit.problems import Unavailable
from tests.doubles.front_retriever import SPACE_MADE_S
from tests.doubles.front_stack import TOKEN, Front, running_front
from tests.doubles.gateway import data_url, dialogue, image_part, png, running_gateway

pytestmark = pytest.mark.integration
WEIRD_IDS = [
    "d-1",
    "2026/03/01",
    "/begins/and/ends/",
    "a//b",
    "with space",
    "100%",
    "%2F",
    "utterances",
    "x/utterances",
    "q?a=1#b",
    "对话-17",
    "a/../b",
    "...",
    "a;b,c&d=e+f",
    '"<script>',
]

# The gateway looks at a job about twice a second.
_LONGER_THAN_A_LOOK_S = 1.2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture
def front(shared: Front) -> Front:
    """A gateway over doubles as new, with one empty collection; it serves others too, so nobody
    makes keys."""
    shared.reset()
    shared.make()
    return shared


def slug(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    return str(reply.json()["type"]).removeprefix("urn:colloquy:problem:")


def talk(identity: str, *contents: Any) -> dict[str, Any]:
    return dialogue(*(contents or ("hello", "bye"))) | {"id": identity}


def place(identity: str) -> str:
    return f"/v1/collections/family/dialogues/{quote(identity, safe='')}"


# --- collections --------------------------------------------------------------------------------


def test_a_collection_is_made_once_and_described(front: Front) -> None:
    spec = {"kind": "dialogues", "spaces": ["clip", "lamra"], "retention_days": 30}

    made = front.http.put("/v1/collections/shop", json=spec, headers=TOKEN)
    again = front.http.put("/v1/collections/shop", json=spec, headers=TOKEN)

    assert made.status_code == again.status_code == 200
    assert made.json() == again.json() == front.http.get("/v1/collections/shop").json()
    assert [space["name"] for space in made.json()["spaces"]] == ["clip", "lamra"]
    assert made.json()["retention_days"] == 30


def test_collections_come_page_by_page(front: Front) -> None:
    for name in ("a", "b", "c"):
        front.make(name)

    first = front.http.get("/v1/collections", params={"limit": 2}).json()
    rest = front.http.get("/v1/collections", params={"cursor": first["next"]}).json()

    names = [one["name"] for page in (first, rest) for one in page["collections"]]
    assert names == ["a", "b", "c", "family"]
    assert rest["next"] is None


def test_a_dropped_collection_is_gone(front: Front) -> None:
    front.ingest([talk("d-1")])

    reply = front.http.delete("/v1/collections/family", headers=TOKEN)

    assert (reply.status_code, reply.content) == (204, b"")
    assert front.http.get("/v1/collections/family").status_code == 404
    assert front.http.delete("/v1/collections/family", headers=TOKEN).status_code == 404
    assert front.indexer.dialogues == {}


def test_documents_are_refused_in_words(front: Front) -> None:
    reply = front.http.put("/v1/collections/news", json={"kind": "documents"}, headers=TOKEN)

    assert (reply.status_code, slug(reply)) == (422, "unsupported")
    assert "documents" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("-x", {}),
        ("a" * 129, {}),
        ("a b", {}),
        ("ok", {"kind": "films"}),
        ("ok", {"spaces": []}),
        ("ok", {"retention_days": 0}),
        ("ok", {"colour": "red"}),
        ("ok", []),
    ],
)
def test_a_wrong_collection_is_refused_with_its_place(front: Front, name: str, spec: Any) -> None:
    reply = front.http.put(f"/v1/collections/{quote(name)}", json=spec, headers=TOKEN)

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")
    assert reply.json()["faults"]


def test_without_an_indexer_there_are_no_collections(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        replies = [
            gateway.http.get("/v1/collections"),
            gateway.http.put("/v1/collections/a", json={}, headers=TOKEN),
            gateway.http.get("/v1/jobs"),
            gateway.http.get("/v1/collections/a/dialogues/d-1"),
            gateway.http.post(
                "/v1/collections/a/dialogues",
                content=b"[]",
                headers=TOKEN | {"content-type": "application/json"},
            ),
        ]

    assert [(reply.status_code, slug(reply)) for reply in replies] == [(422, "unsupported")] * 5


def test_a_collection_is_indexed_anew(front: Front) -> None:
    reply = front.http.post("/v1/collections/family/reindex", headers=TOKEN)

    assert (reply.status_code, reply.json()["kind"]) == (202, "reindex")
    assert front.http.post("/v1/collections/none/reindex", headers=TOKEN).status_code == 404


def test_a_person_is_erased_by_a_job_with_a_receipt(front: Front) -> None:
    front.ingest([talk("d-1"), talk("d-2")])

    reply = front.http.post("/v1/erase", json={"speaker": "Ana"}, headers=TOKEN)

    assert (reply.status_code, reply.json()["receipt"]) == (202, {"dialogues": 2})


@pytest.mark.parametrize("what", [{}, {"speaker": "Ana", "metadata": {"a": 1}}, {"metadata": {}}])
def test_an_erasure_names_one_thing(front: Front, what: dict[str, Any]) -> None:
    reply = front.http.post("/v1/erase", json=what, headers=TOKEN)

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")
    assert front.indexer.jobs == {}


# --- dialogues ----------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", WEIRD_IDS)
def test_a_dialogue_of_any_id_is_read_appended_to_and_removed(front: Front, identity: str) -> None:
    front.ingest([talk(identity), talk("other")])
    turn = {"speaker": "Ben", "content": "more"}

    appended = front.http.post(
        f"{place(identity)}/utterances", json={"utterances": [turn]}, headers=TOKEN
    )
    read = front.http.get(place(identity))
    removed = front.http.delete(place(identity), headers=TOKEN)

    assert appended.status_code == 202, appended.text
    assert read.json()["dialogue"]["id"] == identity
    assert [one["content"] for one in read.json()["dialogue"]["utterances"]][-1] == "more"
    assert (removed.status_code, removed.content) == (204, b"")
    assert {key[2] for key in front.indexer.dialogues} == {"other"}
    assert front.http.get(place(identity)).status_code == 404


def test_a_read_dialogue_tells_its_fragments_and_its_request(front: Front) -> None:
    front.ingest([talk("d-1")])

    reply = front.http.get(place("d-1"))

    assert reply.json()["fragments"] == [[0, 1]]
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


def test_dialogues_are_browsed_page_by_page(front: Front) -> None:
    front.ingest([talk(f"d-{number}") for number in range(5)])
    path = "/v1/collections/family/dialogues"

    first = front.http.get(path, params={"limit": 3}).json()
    rest = front.http.get(path, params={"limit": 3, "cursor": first["next"]}).json()

    assert [one["id"] for one in first["dialogues"] + rest["dialogues"]] == [
        f"d-{number}" for number in range(5)
    ]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1_001}, {"limit": "x"}])
def test_a_page_of_no_size_is_refused(front: Front, query: dict[str, Any]) -> None:
    reply = front.http.get("/v1/collections/family/dialogues", params=query)

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")


def test_appended_turns_are_numbered_on_and_their_pictures_taken_in(front: Front) -> None:
    front.ingest([talk("d-1")])
    turn = {"speaker": "Ben", "ref": "m-9", "content": [image_part(data_url(png()))]}

    reply = front.http.post(
        f"{place('d-1')}/utterances",
        json={"utterances": [turn], "expected_turns": 2},
        headers=TOKEN,
    )

    assert reply.headers["location"] == f"/v1/jobs/{reply.json()['job']}"
    last = front.http.get(place("d-1")).json()["dialogue"]["utterances"][-1]
    assert (last["id"], last["ref"]) == (2, "m-9")
    assert last["content"][0]["image_url"]["url"].startswith("blob:")


def test_an_append_to_a_dialogue_that_grew_otherwise_is_a_conflict(front: Front) -> None:
    front.ingest([talk("d-1")])

    reply = front.http.post(
        f"{place('d-1')}/utterances",
        json={"utterances": [{"speaker": "Ben", "content": "x"}], "expected_turns": 1},
        headers=TOKEN,
    )

    assert (reply.status_code, slug(reply)) == (409, "conflict")


@pytest.mark.parametrize(
    ("turns", "at"),
    [
        ([{"id": 2, "speaker": "Ben", "content": "x"}], "body/utterances/0/id"),
        ([{"speaker": "Ben", "content": [image_part("data:,")]}], "body/utterances/0/content/0"),
        ([{"speaker": "", "content": "x"}], "body/utterances/0/speaker"),
        ([], "body/utterances"),
    ],
)
def test_a_wrong_turn_is_named_by_its_place(front: Front, turns: list[Any], at: str) -> None:
    front.ingest([talk("d-1")])

    reply = front.http.post(f"{place('d-1')}/utterances", json={"utterances": turns}, headers=TOKEN)

    assert reply.status_code == 422
    assert reply.json()["faults"][0]["at"].startswith(at)


# --- jobs ---------------------------------------------------------------------------------------


def events(reply: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in reply.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_a_job_is_followed_to_its_end(front: Front) -> None:
    front.indexer.busy = 2
    job = front.ingest([talk("d-1")]).json()["job"]

    with front.http.stream("GET", f"/v1/jobs/{job}/events") as reply:
        told = list(events(reply))

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert [(name, data["state"]) for name, data in told] == [
        ("progress", "running"),
        ("done", "done"),
    ]
    assert told[-1][1]["counts"]["indexed"] == 1


def test_a_job_that_has_ended_is_told_at_once(front: Front) -> None:
    job = front.ingest([talk("d-1")]).json()["job"]
    assert front.http.get(f"/v1/jobs/{job}").json()["state"] in FINAL

    with front.http.stream("GET", f"/v1/jobs/{job}/events") as reply:
        assert [name for name, _ in events(reply)] == ["done"]


def test_a_job_that_is_not_there_is_missing_before_a_stream_begins(front: Front) -> None:
    reply = front.http.get("/v1/jobs/none/events")

    assert (reply.status_code, slug(reply)) == (404, "not-found")


def test_a_stream_that_cannot_go_on_says_why(front: Front) -> None:
    front.indexer.busy = 1_000
    job = front.ingest([talk("d-1")]).json()["job"]

    with front.http.stream("GET", f"/v1/jobs/{job}/events") as reply:
        told = events(reply)
        assert next(told)[0] == "progress"
        front.indexer.failure = Unavailable("the indexer rests")
        name, problem = next(told)
        assert list(told) == []

    assert (name, problem["status"]) == ("problem", 503)
    assert problem["request_id"] == reply.headers["x-request-id"]


def test_a_client_that_leaves_ends_the_asking(front: Front) -> None:
    front.indexer.busy = 1_000
    job = front.ingest([talk("d-1")]).json()["job"]
    with front.http.stream("GET", f"/v1/jobs/{job}/events") as reply:
        next(events(reply))

    # That nothing more comes shows only in time; a busy machine may notice the leaving late.
    give_up = time.monotonic() + 20
    asked = -1
    while front.indexer.asked_for_jobs != asked:
        assert time.monotonic() < give_up, "it still asks for a job that nobody follows"
        asked = front.indexer.asked_for_jobs
        time.sleep(_LONGER_THAN_A_LOOK_S)


def test_a_tenant_makes_as_many_collections_as_the_profile_says(tmp_path: Path) -> None:
    with running_front(tmp_path, tenant={"max_collections": 1}) as front:
        front.make()
        front.make()
        refused = front.http.put("/v1/collections/other", json={}, headers=TOKEN)

    assert (refused.status_code, slug(refused)) == (409, "too-many-collections")


def test_a_stream_holds_a_place_among_streams_and_none_among_requests(tmp_path: Path) -> None:
    with running_front(tmp_path, tenant={"max_running": 1, "max_streams": 1}) as front:
        front.make()
        front.indexer.busy = 1_000
        job = front.ingest([talk("d-1")]).json()["job"]
        with front.http.stream("GET", f"/v1/jobs/{job}/events") as reply:
            told = events(reply)  # kept: its end would be the stream's
            assert next(told)[0] == "progress"
            refused = httpx.get(f"{front.url}/v1/jobs/{job}/events", trust_env=False)
            worked = httpx.put(
                f"{front.url}/v1/collections/other", json={}, headers=TOKEN, trust_env=False
            )

    assert (refused.status_code, slug(refused)) == (429, "too-many-requests")
    assert refused.json()["detail"] == "at most 1 streams of events may be under way at once"
    assert worked.status_code == 200


def test_jobs_are_listed_the_newest_first(front: Front) -> None:
    jobs = [front.ingest([talk("d-1")]).json()["job"] for _ in range(2)]

    listed = front.http.get("/v1/jobs", params={"collection": "family"}).json()["jobs"]

    assert [job["id"] for job in listed] == jobs[::-1]


def test_a_job_is_cancelled(front: Front) -> None:
    front.indexer.busy = 1_000
    job = front.ingest([talk("d-1")]).json()["job"]

    reply = front.http.delete(f"/v1/jobs/{job}", headers=TOKEN)

    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")


# --- the door -----------------------------------------------------------------------------------

CHANGES = [
    ("PUT", "/v1/collections/a"),
    ("DELETE", "/v1/collections/a"),
    ("POST", "/v1/collections/a/reindex"),
    ("POST", "/v1/collections/a/dialogues"),
    ("POST", "/v1/collections/a/dialogues/d/utterances"),
    ("DELETE", "/v1/collections/a/dialogues/d"),
    ("DELETE", "/v1/jobs/j"),
    ("POST", "/v1/erase"),
]
READS = [
    ("GET", "/v1/collections"),
    ("GET", "/v1/collections/a"),
    ("GET", "/v1/collections/a/dialogues"),
    ("GET", "/v1/collections/a/dialogues/d"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/j"),
    ("GET", "/v1/jobs/j/events"),
]
WORK = [("POST", "/v1/embeddings"), ("POST", "/v1/rerank"), ("POST", "/v2/rerank")]


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_without_keys_a_change_needs_the_page_token(front: Front, method: str, path: str) -> None:
    reply = front.http.request(method, path)

    assert (reply.status_code, slug(reply)) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path"), CHANGES + READS + WORK)
def test_without_keys_another_page_is_refused(front: Front, method: str, path: str) -> None:
    headers = TOKEN | {"origin": "http://evil.example"}

    reply = front.http.request(method, path, headers=headers)

    assert (reply.status_code, slug(reply)) == (403, "origin-refused")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("keyed")) as front:
        front.key("nobody", "search")
        yield front


@pytest.mark.parametrize(("method", "path"), CHANGES + READS)
def test_collections_need_the_scope_index(keyed: Front, method: str, path: str) -> None:
    reply = keyed.http.request(method, path, headers=keyed.key("acme", "search"))

    assert (reply.status_code, slug(reply)) == (403, "scope-missing")
    assert reply.json()["scope"] == "index"


@pytest.mark.parametrize(("method", "path"), WORK)
def test_vectors_and_rankings_need_the_scope_search(keyed: Front, method: str, path: str) -> None:
    reply = keyed.http.request(method, path, headers=keyed.key("acme", "index"))

    assert (reply.status_code, slug(reply)) == (403, "scope-missing")
    assert reply.json()["scope"] == "search"


@pytest.mark.parametrize(("method", "path"), CHANGES + READS + WORK)
def test_a_stranger_gets_nowhere(keyed: Front, method: str, path: str) -> None:
    assert keyed.http.request(method, path).status_code == 401


def test_an_operator_has_no_collections(keyed: Front) -> None:
    headers = keyed.key(None, "operator")

    assert keyed.http.get("/v1/collections", headers=headers).status_code == 403


def test_two_tenants_see_their_own_collections_alone(keyed: Front) -> None:
    one, other = keyed.key("one", "index"), keyed.key("other", "index")
    keyed.make("mine", headers=one)
    keyed.ingest([talk("d-1")], name="mine", headers=one)

    missing = [
        keyed.http.request(method, path, headers=other).status_code
        for method, path in (
            ("GET", "/v1/collections/mine"),
            ("DELETE", "/v1/collections/mine"),
            ("GET", "/v1/collections/mine/dialogues"),
            ("GET", "/v1/collections/mine/dialogues/d-1"),
            ("DELETE", "/v1/collections/mine/dialogues/d-1"),
            ("POST", "/v1/collections/mine/reindex"),
        )
    ]

    turn = {"utterances": [{"speaker": "Ben", "content": "x"}]}
    appended = keyed.http.post(
        "/v1/collections/mine/dialogues/d-1/utterances", json=turn, headers=other
    )
    erased = keyed.http.post("/v1/erase", json={"speaker": "Ana"}, headers=other)

    assert missing == [404] * 6
    assert appended.status_code == 404
    assert erased.json()["receipt"] == {"dialogues": 0}
    assert keyed.http.get("/v1/collections", headers=other).json()["collections"] == []
    assert keyed.http.get("/v1/collections/mine", headers=one).json()["dialogues"] == 1


# --- the whole ----------------------------------------------------------------------------------


def test_readiness_names_every_service_behind(front: Front) -> None:
    assert front.http.get("/readyz").json()["ready"] is True
    front.reranker.ready = False

    reply = front.http.get("/readyz")

    named = {check["name"]: check["ready"] for check in reply.json()["checks"]}
    assert reply.status_code == 503
    assert named == {
        "blobs": True,
        "decoders": True,
        "generator": True,
        "engine double": True,
        "retriever": True,
        "space clip": True,
        "reranker": False,
        "engine rank": False,
        "indexer": True,
        "ledger": True,
        "indexer blobs": True,
    }


def test_models_are_all_tasks_and_spaces(front: Front) -> None:
    listed = front.http.get("/v1/models").json()["data"]

    assert [model["id"] for model in listed] == [
        "fragment@1",
        "split@1",
        "rank@1",
        "clip@1",
        "lamra@1",
    ]
    assert [model["created"] for model in listed[3:]] == [SPACE_MADE_S, SPACE_MADE_S]


def test_many_follow_one_job_at_once(front: Front) -> None:
    front.indexer.busy = 6
    job = front.ingest([talk("d-1")]).json()["job"]
    ends: list[str] = []

    def follow() -> None:
        with httpx.stream("GET", f"{front.url}/v1/jobs/{job}/events", trust_env=False) as reply:
            ends.append([name for name, _ in events(reply)][-1])

    followers = [threading.Thread(target=follow) for _ in range(5)]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()

    assert ends == ["done"] * 5


@pytest.mark.parametrize(
    ("method", "path", "at", "why"),
    [
        ("GET", "/v1/collections/none", "path/name", "names no collection of this tenant"),
        ("DELETE", "/v1/collections/none", "path/name", "names no collection of this tenant"),
        ("GET", "/v1/collections/none/dialogues", "path/name", "names no collection"),
        ("GET", "/v1/collections/family/dialogues/d", "path/id", "names no dialogue"),
        ("DELETE", "/v1/collections/family/dialogues/d", "path/id", "names no dialogue"),
        ("GET", "/v1/jobs/none", "path/id", "names no job of this tenant"),
        ("GET", "/v1/jobs/none/events", "path/id", "names no job of this tenant"),
        ("DELETE", "/v1/jobs/none", "path/id", "names no job of this tenant"),
    ],
)
def test_what_is_missing_is_told_once_with_its_place(
    front: Front, method: str, path: str, at: str, why: str
) -> None:
    problem = front.http.request(method, path, headers=TOKEN).json()

    [fault] = problem["faults"]
    assert fault["at"] == at
    assert fault["why"].startswith(why)
    assert problem["detail"] == f"{at}: {fault['why']}"
    assert "no such" not in problem["detail"]  # the title says that
