"""Dialogues that are sent again, change, or go on."""

from typing import Any

import pytest

from tests.integration.indexer.stack import (
    SHELF,
    TENANT,
    RunningIndexer,
    long_talk,
    shows,
    stored_times,
    talk,
    texts,
)

pytestmark = pytest.mark.integration


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
