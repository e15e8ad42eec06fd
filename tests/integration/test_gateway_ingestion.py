"""Dialogues on their way into a collection at a real gateway: whole, itemised, once."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from colloquy.servicekit.problems import Overloaded, Unavailable
from tests.doubles.front_stack import NDJSON, TOKEN, Front, running_front
from tests.doubles.gateway import data_url, dialogue, image_part, png

pytestmark = pytest.mark.integration
PHOTO = data_url(png((9, 120, 9)))


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


def talk(identity: str, *contents: Any) -> dict[str, Any]:
    return dialogue(*(contents or ("hello", "bye"))) | {"id": identity}


def ndjson(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def slug(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    return str(reply.json()["type"]).removeprefix("urn:colloquy:problem:")


# --- what is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["list", "lines"])
def test_dialogues_arrive_and_are_acknowledged_with_a_job(front: Front, form: str) -> None:
    sent = [talk("d-1"), talk("d-2", "a cake")]

    reply = front.ingest(sent if form == "list" else ndjson(*sent))

    assert reply.status_code == 202
    answer = reply.json()
    assert (answer["accepted"], answer["failed"]) == (2, 0)
    assert reply.headers["location"] == f"/v1/jobs/{answer['job']}"
    job = front.http.get(reply.headers["location"]).json()
    assert (job["state"], job["counts"]["indexed"]) == ("done", 2)
    assert set(front.indexer.dialogues) == {("local", "family", "d-1"), ("local", "family", "d-2")}


def test_everything_of_a_dialogue_is_kept_but_its_pictures_are_references(front: Front) -> None:
    sent = talk("d-1", "hello", [{"type": "text", "text": "look"}, image_part(PHOTO)]) | {
        "metadata": {"shop": "kites"},
        "acl": ["team-a"],
    }
    sent["utterances"][0] |= {"ref": "msg_1", "time": "2026-03-01T10:00:00Z"}

    front.ingest([sent])

    kept = front.http.get("/v1/collections/family/dialogues/d-1").json()["dialogue"]
    ref = kept["utterances"][1]["content"][1]["image_url"]["url"]
    assert ref.startswith("blob:")
    assert front.http.get(f"/v1/images/{ref}").status_code == 200
    assert (kept["metadata"], kept["acl"]) == ({"shop": "kites"}, ["team-a"])
    assert kept["utterances"][0] == sent["utterances"][0] | {"id": 0}


def test_a_dialogue_that_is_kept_may_show_more_pictures_than_a_question(front: Front) -> None:
    many = talk("d-1", *[[image_part(PHOTO)] * 10] * 7)

    taken = front.ingest([many])
    asked = front.search({"utterances": many["utterances"]})

    assert (taken.status_code, taken.json()["accepted"]) == (202, 1)
    assert (asked.status_code, slug(asked)) == (413, "too-many-images")


def test_ten_thousand_are_taken_and_one_more_is_not(front: Front) -> None:
    many = [talk(f"d-{number}", "x") for number in range(10_001)]

    taken, refused = front.ingest(ndjson(*many[:-1])), front.ingest(ndjson(*many))

    assert (taken.status_code, taken.json()["accepted"]) == (202, 10_000)
    assert (refused.status_code, slug(refused)) == (413, "too-large")
    assert len(front.indexer.jobs) == 1
    assert max(len(batch.items) for batch in front.indexer.batches) <= 64


def test_a_body_larger_than_a_request_may_be_is_taken(tmp_path: Path) -> None:
    bounds = {"max_body_bytes": 100_000, "max_bodies_bytes": 100_000, "max_ingest_bytes": 500_000}
    with running_front(tmp_path, **bounds) as front:
        front.make()
        body = ndjson(*(talk(f"d-{number}", "x" * 20_000) for number in range(20)))
        taken = front.ingest(body)
        refused = front.ingest(body + body)
        elsewhere = front.find("x" * 150_000)

    assert (taken.status_code, taken.json()["accepted"]) == (202, 20)
    assert (refused.status_code, slug(refused)) == (413, "too-large")
    assert (elsewhere.status_code, slug(elsewhere)) == (413, "too-large")


def test_a_large_body_goes_on_in_small_batches_and_leaves_no_file(front: Front) -> None:

    def body() -> Iterator[bytes]:
        for number in range(600):
            yield ndjson(talk(f"d-{number}", "x" * 90_000))

    reply = front.http.post(
        "/v1/collections/family/dialogues", content=body(), headers=NDJSON | TOKEN
    )

    assert reply.json()["accepted"] == 600
    assert [*front.settings.spool_dir.glob("*")] == []
    # A batch is bounded by its bytes too.
    assert max(len(batch.items) for batch in front.indexer.batches) <= 24


# --- what is wrong with an item -----------------------------------------------------------------


def test_a_wrong_item_is_reported_with_its_number_line_and_place_and_the_others_go_on(
    front: Front,
) -> None:
    body = b"\n".join(
        [
            json.dumps(talk("good")).encode(),
            b"",
            b'{"id": "broken", "utterances": [',
            json.dumps(talk("empty") | {"utterances": []}).encode(),
            json.dumps(talk("odd", "hello", 7)).encode(),
            json.dumps(dialogue("no id")).encode(),
            b'"not a dialogue"',
            json.dumps(talk("good")).encode(),
            json.dumps(talk("picture", [image_part("data:image/png;base64,AAAA")])).encode(),
            json.dumps(talk("..")).encode(),
            json.dumps(talk("two\nlines")).encode(),
            json.dumps(talk("also-good")).encode(),
        ]
    )

    reply = front.ingest(body)

    assert (reply.json()["accepted"], reply.json()["failed"]) == (2, 9)
    errors = front.http.get(reply.headers["location"]).json()["errors"]
    told = {error["item"]: (error["line"], error["dialogue_id"], error["at"]) for error in errors}
    assert told == {
        1: (3, None, ""),
        2: (4, "empty", "utterances"),
        3: (5, "odd", "utterances/1/content"),
        4: (6, None, "id"),
        5: (7, None, ""),
        6: (8, "good", "id"),
        7: (9, "picture", "utterances/0/content/0/image_url/url"),
        8: (10, "..", "id"),
        9: (11, "two\nlines", "id"),
    }
    assert all(error["why"] for error in errors)


def test_when_no_item_is_right_the_request_is_refused_and_no_job_is_there(front: Front) -> None:
    reply = front.ingest([talk("x") | {"speaker": 1}, 7])

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")
    assert [fault["at"] for fault in reply.json()["faults"]] == ["body/0/speaker", "body/1"]
    assert front.indexer.jobs == {}


def test_an_error_tells_nothing_that_was_sent(front: Front) -> None:
    reply = front.ingest([talk("d-1", {"secret": "content"}), talk("d-2")])

    errors = front.http.get(reply.headers["location"]).text
    assert "secret" not in errors


def test_a_reference_of_nobody_is_an_items_own_fault(front: Front) -> None:
    reply = front.ingest([talk("d-1", [image_part(f"blob:{'0' * 64}")]), talk("d-2")])

    assert (reply.json()["accepted"], reply.json()["failed"]) == (1, 1)


# --- what is wrong with a body ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"dialogues": []}', 400),
        (b"", 400),
        (b"[]", 422),
        (b'[{"id": "a"}', 400),
        (b"[1,]", 400),
        (b"[1][2]", 400),
    ],
)
def test_json_that_is_no_list_is_refused_whole(front: Front, body: bytes, status: int) -> None:
    reply = front.http.post(
        "/v1/collections/family/dialogues",
        content=body,
        headers=TOKEN | {"content-type": "application/json"},
    )

    assert reply.status_code == status, reply.text
    assert front.indexer.jobs == {}


def test_a_list_that_breaks_after_good_items_takes_none_of_them(front: Front) -> None:
    whole = json.dumps([talk(f"d-{number}") for number in range(200)])

    reply = front.ingest_as_json(whole[:-30].encode())

    assert (reply.status_code, slug(reply)) == (400, "malformed-json")
    assert front.indexer.jobs == {}


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_another_form_is_refused(front: Front, kind: str) -> None:
    reply = front.http.post(
        "/v1/collections/family/dialogues", content=b"x", headers=TOKEN | {"content-type": kind}
    )

    assert (reply.status_code, slug(reply)) == (415, "unsupported-media")


def test_a_packed_body_is_refused(front: Front) -> None:
    headers = TOKEN | NDJSON | {"content-encoding": "gzip"}

    reply = front.http.post("/v1/collections/family/dialogues", content=b"x", headers=headers)

    assert (reply.status_code, slug(reply)) == (415, "unsupported-media")


def test_a_collection_that_is_not_there_is_told_before_the_body_is_read(front: Front) -> None:
    reply = front.ingest([talk("d-1")], name="nowhere")

    assert (reply.status_code, slug(reply)) == (404, "collection-missing")


@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "in chunks"])
def test_a_body_that_is_cut_off_acknowledges_and_leaves_nothing(
    front: Front, announced: bool
) -> None:
    address = urlsplit(front.url)
    body = ndjson(talk("d-1"), talk("d-2"))
    head = (
        "POST /v1/collections/family/dialogues HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\nContent-Type: application/x-ndjson\r\n"
        f"Authorization: {TOKEN['authorization']}\r\n"
    )
    if announced:
        sent = f"{head}Content-Length: {len(body) + 10}\r\n\r\n".encode() + body
    else:
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
        sent = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(sent)
        time.sleep(0.3)

    time.sleep(0.3)
    assert front.indexer.jobs == {}
    assert front.indexer.dialogues == {}
    assert front.ingest([talk("d-3")]).status_code == 202


@pytest.mark.parametrize("route", ["open", "items", "seal"])
def test_an_indexer_that_fails_on_the_way_acknowledges_nothing_and_a_retry_takes_all(
    front: Front, route: str
) -> None:
    front.indexer.failure, front.indexer.fail_at = Unavailable(), route
    key = {"idempotency-key": "once"}

    failed = front.ingest([talk("d-1")], **key)
    front.indexer.failure = None
    again = front.ingest([talk("d-1")], **key)

    assert (failed.status_code, slug(failed)) == (503, "unavailable")
    assert (again.status_code, again.json()["accepted"]) == (202, 1)
    assert [job.state for job in front.indexer.jobs.values()] == ["running"]


def test_decoders_that_are_busy_are_no_fault_of_an_item(front: Front) -> None:
    front.indexer.failure, front.indexer.fail_at = Overloaded(retry_after_s=3), "items"

    reply = front.ingest([talk("d-1", [image_part(PHOTO)])])

    assert (reply.status_code, reply.headers["retry-after"]) == (503, "3")
    assert front.indexer.dialogues == {}


@pytest.mark.parametrize(
    ("places", "refusal"),
    [
        ({"max_ingests": 1}, (503, "overloaded")),
        ({"tenant": {"max_ingests": 1}}, (429, "too-many-requests")),
    ],
)
def test_more_ingestions_than_there_are_places_for_are_told_to_wait(
    tmp_path: Path, places: dict[str, Any], refusal: tuple[int, str]
) -> None:
    with running_front(tmp_path, **places) as front:
        front.make()
        come, go = threading.Event(), threading.Event()

        def slow() -> Iterator[bytes]:
            yield ndjson(talk("d-1"))
            come.set()
            go.wait(10)
            yield ndjson(talk("d-2"))

        replies: list[httpx.Response] = []
        url = f"{front.url}/v1/collections/family/dialogues"
        first = threading.Thread(
            target=lambda: replies.append(
                httpx.post(url, content=slow(), headers=NDJSON | TOKEN, trust_env=False)
            )
        )
        first.start()
        come.wait(10)
        time.sleep(0.2)
        refused = front.ingest([talk("d-3")])
        go.set()
        first.join()
        after = front.ingest([talk("d-3")])

    assert (refused.status_code, slug(refused)) == refusal
    assert refused.headers["retry-after"] == "5"
    assert replies[0].json()["accepted"] == 2
    assert after.status_code == 202


# --- once ---------------------------------------------------------------------------------------


def test_the_same_body_under_the_same_key_is_the_same_job(front: Front) -> None:
    first = front.ingest([talk("d-1")], **{"idempotency-key": "once"})
    again = front.ingest([talk("d-1")], **{"idempotency-key": "once"})

    assert again.json()["job"] == first.json()["job"]
    assert len(front.indexer.jobs) == 1


def test_another_body_under_the_same_key_is_a_conflict(front: Front) -> None:
    front.ingest([talk("d-1")], **{"idempotency-key": "once"})

    reply = front.ingest([talk("d-2")], **{"idempotency-key": "once"})

    assert (reply.status_code, slug(reply)) == (409, "conflict")
    assert set(front.indexer.dialogues) == {("local", "family", "d-1")}


def test_the_same_turns_under_the_same_key_are_appended_once(front: Front) -> None:
    front.ingest([talk("d-1")])
    before = len(front.indexer.dialogues["local", "family", "d-1"].utterances)

    first, again = (say(front, "d-1") for _ in range(2))

    assert again.json()["job"] == first.json()["job"]
    assert len(front.indexer.dialogues["local", "family", "d-1"].utterances) == before + 1


def test_a_key_serves_one_request_of_the_tenant_on_whichever_route(front: Front) -> None:
    front.make("other")
    front.ingest([talk("d-1"), talk("d-2")])
    front.ingest([talk("d-1")], "other")
    assert say(front, "d-1").status_code == 202

    refused = [
        say(front, "d-2"),
        say(front, "d-1", "other"),
        say(front, "d-1", words="something else"),
        front.ingest([talk("d-3")], **{"idempotency-key": "once"}),
    ]

    assert [(one.status_code, slug(one)) for one in refused] == [(409, "conflict")] * 4
    assert all("the idempotency key was used" in one.json()["detail"] for one in refused)
    grown = {key: len(one.utterances) for key, one in front.indexer.dialogues.items()}
    assert grown.pop(("local", "family", "d-1")) == 1 + grown["local", "family", "d-2"]
    assert len(set(grown.values())) == 1


def say(
    front: Front, dialogue_id: str, name: str = "family", words: str = "delicious"
) -> httpx.Response:
    """Appends a turn under the key `once`."""
    return front.http.post(
        f"/v1/collections/{name}/dialogues/{dialogue_id}/utterances",
        json={"utterances": [{"speaker": "Ben", "content": words}]},
        headers=TOKEN | {"idempotency-key": "once"},
    )


def test_a_request_that_the_same_one_overtakes_is_told_so(front: Front) -> None:
    front.indexer.overtaken = True

    overtaken = front.ingest([talk("d-1")], **{"idempotency-key": "once"})
    again = front.ingest([talk("d-1")], **{"idempotency-key": "once"})

    assert (overtaken.status_code, slug(overtaken)) == (409, "conflict")
    assert "send it again" in overtaken.json()["detail"]
    assert again.status_code == 202


def test_without_a_key_the_same_body_is_another_job(front: Front) -> None:
    jobs = {front.ingest([talk("d-1")]).json()["job"] for _ in range(2)}

    assert len(jobs) == 2


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_a_key_that_is_none_is_refused(front: Front, key: str) -> None:
    reply = front.ingest([talk("d-1")], **{"idempotency-key": key})

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")


# --- tenants ------------------------------------------------------------------------------------


def test_equal_bodies_and_keys_of_two_tenants_are_two_jobs(tmp_path: Path) -> None:
    with running_front(tmp_path) as front:
        keys = {name: front.key(name, "index", "search") for name in ("one", "other")}
        sent, jobs, refs = [talk("d-1", [image_part(PHOTO)])], {}, {}
        for name, key in keys.items():
            front.make(headers=key)
            reply = front.ingest(sent, headers=key, **{"idempotency-key": "once"})
            jobs[name] = reply.json()["job"]
            kept = front.http.get("/v1/collections/family/dialogues/d-1", headers=key).json()
            (refs[name],) = (
                part["image_url"]["url"]
                for turn in kept["dialogue"]["utterances"]
                for part in turn["content"]
            )
        foreign = [
            front.http.request(method, path, headers=keys["other"]).status_code
            for method, path in (
                ("GET", f"/v1/jobs/{jobs['one']}"),
                ("GET", f"/v1/jobs/{jobs['one']}/events"),
                ("DELETE", f"/v1/jobs/{jobs['one']}"),
                ("GET", f"/v1/images/{refs['one']}"),
            )
        ]
        listed = front.http.get("/v1/jobs", headers=keys["other"]).json()["jobs"]
        front.http.delete("/v1/collections/family/dialogues/d-1", headers=keys["other"])
        left = front.http.get("/v1/collections/family/dialogues/d-1", headers=keys["one"])

    assert jobs["one"] != jobs["other"]
    assert refs["one"] != refs["other"]
    assert foreign == [404, 404, 404, 404]
    assert [job["id"] for job in listed] == [jobs["other"]]
    assert left.status_code == 200
