"""The generator on a real engine: adapters, answers, readiness."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from colloquy.media.blobs import BlobStore
from colloquy.profile import Task, VllmEngine
from services.generator.settings import EngineBinding, Settings, Tuning
from tests import starter
from tests.integration.generator.stack import HOP, dialogue, serving, wait_for
from tests.integration.questions import picture, png
from tests.live_engine import LiveEngine

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
BLOB_KEY = "blob-key-of-the-tests"


@pytest.fixture
def settings(engine: LiveEngine, registry: Path, tmp_path: Path) -> Settings:
    served = VllmEngine(
        runtime="vllm",
        model=engine.model,
        max_model_len=4_096,
        max_running=8,
        max_images=16,
        max_adapters=7,
        max_lora_rank=64,
    )
    return Settings(
        listen="127.0.0.1:0",
        tasks={
            task: Task(engine="e", checkpoint=starter.named(task), protocol="f2rvlm")
            for task in ("fragment", "split")
        },
        engines={"e": EngineBinding(engine=served, address=engine.address)},
        registry=[registry],
        blobs=tmp_path / "blobs",
        blob_key=SecretStr(BLOB_KEY),
        hop_secret=SecretStr(HOP),
        tuning=Tuning(stuck_after_s=15.0),
    )


@pytest.fixture
def ref(settings: Settings) -> Iterator[str]:
    store = BlobStore(settings.blobs, BLOB_KEY.encode())
    yield store.put("acme", png(picture(1)), "image/png", 112, 84).ref
    store.close()


def ready(client: httpx.Client) -> bool:
    return client.get("/readyz").status_code == 200


def body(count: int, **more: Any) -> dict[str, Any]:
    return {"tenant": "acme", "dialogue": dialogue(count, **more)}


def test_answers_only_with_what_the_dialogue_has(settings: Settings, ref: str) -> None:
    patient = settings.tuning.model_copy(update={"stuck_after_s": 120.0})
    settings = settings.model_copy(update={"tuning": patient})
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: ready(client), within_s=300)
        for count in (1, 12, 130):
            asked = body(count, image=ref, every=9) | {"query": "turn 3"}
            reply = client.post("/v1/fragment", json=asked, timeout=200)
            assert reply.status_code == 200, reply.text
            answer = reply.json()
            assert answer["model"] == starter.FRAGMENT
            assert set(answer["utterance_ids"]) <= set(range(count))
            assert set(answer["image_ids"]) <= set(range(count // 9))
            assert answer["degraded"] == []

            split = client.post("/v1/split", json=body(count, image=ref), timeout=200).json()
            assert split["model"] == starter.SPLIT
            assert [i for part in split["fragments"] for i in part] == list(range(count))


def test_base_tasks_and_adapter_tasks_share_an_engine(
    settings: Settings, engine: LiveEngine
) -> None:
    tasks = {**settings.tasks, "split": Task(engine="e", protocol="f2rvlm")}
    with serving(settings.model_copy(update={"tasks": tasks}), wait_ready=False) as client:
        wait_for(lambda: ready(client), within_s=300)
        models = {task["task"]: task["model"] for task in client.get("/v1/tasks").json()["tasks"]}

    assert models == {"fragment": starter.FRAGMENT, "split": engine.model}


def test_a_damaged_adapter_is_refused_and_the_other_task_served(
    settings: Settings, registry: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "registry"
    shutil.copytree(registry, damaged)
    weights = damaged / "fragment" / starter.VERSION / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    # The engine knows `split` from the other folder, so it is taken from there.
    shutil.rmtree(damaged / "split")
    settings = settings.model_copy(update={"registry": [damaged, registry]})
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: "task:split" in ready_checks(client), within_s=300)
        refused = client.post("/v1/fragment", json=body(3) | {"query": "q"})
        served = client.post("/v1/split", json=body(3), timeout=100)

    assert (refused.status_code, served.status_code) == (503, 200)


def ready_checks(client: httpx.Client) -> set[str]:
    return {check["name"] for check in client.get("/readyz").json()["checks"] if check["ready"]}


@pytest.mark.parametrize("part", ["server", "core"])
def test_a_stuck_engine_is_noticed_within_five_seconds(
    settings: Settings, engine: LiveEngine, part: str
) -> None:
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: ready(client), within_s=300)
        stuck = engine.core() if part == "core" else engine.family()[0]
        stuck.suspend()
        try:
            took_s = wait_for(lambda: not ready(client), within_s=10)
            refused = client.post("/v1/fragment", json=body(3) | {"query": "q"}, timeout=60)
            started = time.monotonic()
            client.post("/v1/fragment", json=body(3) | {"query": "q"})
            refused_after_s = time.monotonic() - started
        finally:
            stuck.resume()
        wait_for(lambda: ready(client), within_s=120)
        again = client.post("/v1/fragment", json=body(3) | {"query": "q"}, timeout=100)

    assert took_s <= 5
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused_after_s < 1
    assert again.status_code == 200
