"""The indexer over HTTP, with doubles of the retriever and the generator."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.indexer.stack import (
    SHELF,
    RunningIndexer,
    long_talk,
    running_indexer,
    shows,
    talk,
)

pytestmark = pytest.mark.integration


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
