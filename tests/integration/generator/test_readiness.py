import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from colloquy.contracts.content import Dialogue, Utterance
from colloquy.profile import Task
from colloquy.protocols import f2rvlm
from colloquy.registry.manifest import Probe
from services.generator.settings import Settings
from tests.doubles.engine import EngineDouble
from tests.integration.generator.stack import dialogue, serving, wait_for
from tests.unit.registry.checkpoints import write_adapter

pytestmark = pytest.mark.integration
Engine = tuple[str, EngineDouble]
EMPTY = f2rvlm.format_answer([], [])
PROBE = Probe(
    query="q",
    dialogue=Dialogue(utterances=[Utterance(speaker="a", content="x")]),
    expected=f2rvlm.format_answer([0], []),
)


def readiness(client: httpx.Client) -> tuple[int, dict[str, str | None]]:
    reply = client.get("/readyz")
    checks = reply.json()["checks"]
    return reply.status_code, {
        check["name"]: check["detail"] for check in checks if not check["ready"]
    }


def fragment(client: httpx.Client, **more: Any) -> httpx.Response:
    body = {"tenant": "acme", "dialogue": dialogue(3), "query": "q"}
    return client.post("/v1/fragment", json=body, **more)


def test_adapters_are_loaded_under_their_version(
    settings: Settings, engine: Engine, registry: Path
) -> None:
    with serving(settings):
        assert engine[1].adapters == {
            name: str((registry / name.replace("@", "/")).resolve())
            for name in ("fragment@1", "split@1")
        }


def test_a_broken_adapter_never_reaches_the_engine(
    settings: Settings, engine: Engine, registry: Path
) -> None:
    config = registry / "fragment" / "1" / "adapter_config.json"
    config.write_text(config.read_text().replace("LORA", "LOKR"))
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: "split@1" in engine[1].adapters)
        wait_for(lambda: "task:split" not in readiness(client)[1])
        status, problems = readiness(client)
        refused = fragment(client)

    assert status == 503
    assert problems == {"task:fragment": "fragment@1: `adapter_config.json` has another hash"}
    assert "fragment@1" not in engine[1].adapters
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert engine[1].asked == []


def test_an_adapter_that_answers_its_probe_wrong_is_not_used(
    settings: Settings, engine: Engine, registry: Path
) -> None:
    write_adapter(registry, version="2", probes=[PROBE])
    engine[1].answers = lambda _: EMPTY
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: readiness(client)[1].keys() == {"task:fragment"})
        assert readiness(client)[1] == {"task:fragment": "fragment@2: probe 0 has another answer"}
        assert fragment(client).status_code == 503


def test_an_adapter_that_answers_its_probe_is_used(
    settings: Settings, engine: Engine, registry: Path
) -> None:
    write_adapter(registry, version="2", probes=[PROBE])
    engine[1].answers = lambda _: PROBE.expected
    with serving(settings) as client:
        assert fragment(client).json()["model"] == "fragment@2"


def test_the_last_slot_beside_the_base_is_never_given_away(
    settings: Settings, engine: Engine
) -> None:
    engine[1].adapters |= {"fragment@0": "/models/a", "split@0": "/models/b"}
    tasks = {**settings.tasks, "split": Task(engine="e", protocol="f2rvlm")}
    with serving(settings.model_copy(update={"tasks": tasks}), wait_ready=False) as client:
        wait_for(lambda: readiness(client)[1].keys() == {"task:fragment"})
        problem = readiness(client)[1]["task:fragment"]

    assert problem is not None
    assert "no slot left" in problem
    assert "fragment@1" not in engine[1].adapters


def test_an_adapter_of_the_same_name_from_elsewhere_is_not_taken_for_ours(
    settings: Settings, engine: Engine
) -> None:
    engine[1].adapters["fragment@1"] = "/somewhere/else"
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: readiness(client)[1].keys() == {"task:fragment"})
        assert "another folder" in str(readiness(client)[1])


def test_a_killed_engine_is_noticed_and_its_adapters_come_back(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = lambda _: EMPTY
    with serving(settings) as client:
        assert fragment(client).status_code == 200
        engine[1].fails = (500, "EngineCore encountered an issue.")
        wait_for(lambda: readiness(client)[0] == 503, within_s=5)
        refused = fragment(client)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 5

        engine[1].restart()
        engine[1].fails = None
        wait_for(lambda: readiness(client)[0] == 200)
        assert set(engine[1].adapters) == {"fragment@1", "split@1"}
        assert fragment(client).status_code == 200


def test_an_engine_restarted_between_two_probes_never_answers_for_its_adapter(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = lambda _: EMPTY
    slow = settings.tuning.model_copy(update={"probe_every_s": 60.0})
    with serving(settings.model_copy(update={"tuning": slow})) as client:
        engine[1].restart()

        refused = fragment(client)

        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert engine[1].asked == []


def test_a_stuck_engine_turns_readiness_red_and_in_the_end_frees_who_waits(
    settings: Settings, engine: Engine
) -> None:
    with serving(settings) as client, ThreadPoolExecutor(1) as pool:
        engine[1].hold.set()
        waiting = pool.submit(fragment, client)
        took_s = wait_for(lambda: readiness(client)[0] == 503, within_s=5)
        reply = waiting.result(timeout=10)
        refused = fragment(client)
        engine[1].hold.clear()
        wait_for(lambda: readiness(client)[0] == 200)

    assert took_s < 3
    assert (reply.status_code, refused.status_code) == (503, 503)
    assert int(refused.headers["retry-after"]) >= 5


def test_an_engine_that_is_only_late_still_answers_who_waits(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = lambda _: EMPTY
    patient = settings.tuning.model_copy(update={"stuck_after_s": 60.0})
    with (
        serving(settings.model_copy(update={"tuning": patient})) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        engine[1].hold.set()
        waiting = pool.submit(fragment, client)
        wait_for(lambda: readiness(client)[0] == 503, within_s=5)
        engine[1].hold.clear()

        assert waiting.result(timeout=10).status_code == 200
        wait_for(lambda: readiness(client)[0] == 200)


def test_an_engine_that_is_slow_but_computes_stays_ready(
    settings: Settings, engine: Engine
) -> None:
    steady = settings.tuning.model_copy(update={"probe_timeout_s": 1.2})
    with serving(settings.model_copy(update={"tuning": steady})) as client:
        engine[1].hold.set()
        started = time.monotonic()
        while time.monotonic() - started < 4:
            engine[1].tokens_done += 10
            assert readiness(client)[0] == 200
            time.sleep(0.05)
        engine[1].hold.clear()


@pytest.mark.parametrize("reply", [(401, "no"), (500, "Internal server error")])
def test_an_engine_that_refuses_probes_is_not_ready(
    settings: Settings, engine: Engine, reply: tuple[int, str]
) -> None:
    engine[1].fails = reply
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: readiness(client)[1].get("engine:e") not in (None, "not probed yet"))
        assert readiness(client)[0] == 503


def test_a_foreign_server_is_not_asked_for_tokens_by_probes(
    foreign: Settings, engine: Engine
) -> None:
    with serving(foreign):
        assert engine[1].asked == []
        assert engine[1].pings == 0
