"""`colloquy index` and what it calls, through a real gateway over doubles of the services."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colloquy.cli.following import follow, last
from colloquy.cli.gateway import Gateway
from colloquy.cli.index import run, sources
from colloquy.cli.ingestion import ensure_collection
from tests.doubles.front_stack import Front, running_front
from tests.doubles.gateway import PAGE_TOKEN, png

FFRS = Path(__file__).parents[1] / "unit/protocols/fixtures/ffrs.json"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture
def front(running: Front) -> Front:
    running.reset()
    return running


@pytest.fixture
def gateway(front: Front) -> Iterator[Gateway]:
    with Gateway(front.url, PAGE_TOKEN, patience_s=30) as gateway:
        yield gateway


def kept(front: Front) -> dict[str, Any]:
    return {key[2]: dialogue for key, dialogue in front.indexer.dialogues.items()}


def test_files_of_every_form_are_kept_with_their_pictures(
    front: Front, gateway: Gateway, tmp_path: Path
) -> None:
    upstream = json.loads(FFRS.read_text(encoding="utf-8"))
    for name in {image for sample in upstream["predictions"] for image in sample["images"]}:
        (tmp_path / name).write_bytes(png((len(name), 3, 5)))
    (tmp_path / "wechat.json").write_text(json.dumps(upstream["raw"]))
    swift = [sample | {"dialogue_id": f"{sample['dialogue_id']}-swift"}
             for sample in upstream["predictions"]]  # fmt: skip
    (tmp_path / "swift.jsonl").write_text("\n".join(map(json.dumps, swift)))
    ours = {"id": "ours", "utterances": [{"speaker": "a", "content": "b"}]}
    (tmp_path / "ours.ndjson").write_text(json.dumps(ours))

    ensure_collection(gateway, "family")
    files = [tmp_path / name for name in ("wechat.json", "swift.jsonl", "ours.ndjson")]
    outcome = run(gateway, "family", sources(files))

    assert (outcome.sent, outcome.failed, outcome.faults) == (7, 0, [])
    found = kept(front)
    assert len(found) == 7
    for sample in upstream["predictions"]:
        raw, again = found[sample["dialogue_id"]], found[f"{sample['dialogue_id']}-swift"]
        assert raw.images == again.images
        assert len(raw.images) == len(sample["images"])
        assert all(url.startswith("blob:") for url in raw.images)


def test_a_picture_that_the_gateway_refuses_is_an_error_of_its_dialogue(
    front: Front, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    shown = [{"type": "image_url", "image_url": {"url": "broken.png"}}]
    lines = [
        {"id": name, "utterances": [{"speaker": "a", "content": content}]}
        for name, content in (("x", shown), ("y", "fine"))
    ]
    (tmp_path / "d.ndjson").write_text("\n".join(map(json.dumps, lines)))
    ensure_collection(gateway, "family")
    outcome = run(gateway, "family", sources([tmp_path / "d.ndjson"]))
    ((_, fault),) = outcome.faults
    assert (fault.place, fault.at) == ("line 1", "utterances/0/content/0/image_url/url")
    assert set(kept(front)) == {"y"}


def test_a_job_that_takes_its_time_is_followed_to_its_end(
    front: Front, gateway: Gateway, tmp_path: Path
) -> None:
    line = {"id": "x", "utterances": [{"speaker": "a", "content": "b"}]}
    (tmp_path / "d.ndjson").write_text(json.dumps(line))
    ensure_collection(gateway, "family")
    front.indexer.busy = 4
    outcome = run(gateway, "family", sources([tmp_path / "d.ndjson"]))
    assert outcome.failed == 0
    assert last(follow(gateway, outcome.jobs[0]))["state"] == "done"


def test_a_collection_is_indexed_anew_and_dropped(front: Front, gateway: Gateway) -> None:
    ensure_collection(gateway, "family")
    job = gateway.call("POST", "/v1/collections/family/reindex")
    assert last(follow(gateway, job["id"]))["kind"] == "reindex"
    assert gateway.call("DELETE", "/v1/collections/family") == {}
    assert gateway.get("/v1/collections")["collections"] == []
