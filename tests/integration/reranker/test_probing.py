from pathlib import Path
from typing import Any

import pytest

from colloquy.contracts.content import Dialogue, Utterance
from colloquy.protocols import lamra
from colloquy.registry.manifest import JudgementProbe, Probe
from services.reranker.settings import Settings
from tests.doubles.engine import EngineDouble
from tests.integration.generator.stack import wait_for
from tests.integration.reranker.stack import NO, YES, rerank, serving, user_text
from tests.unit.registry.checkpoints import write_adapter

pytestmark = pytest.mark.integration
FRAGMENT = Dialogue(utterances=[Utterance(speaker="anna", content="the cake is red")])
JUDGED = JudgementProbe(query="a cake", fragment=FRAGMENT, p_yes=0.8)


def publish(registry: Path, **probes: Any) -> None:
    write_adapter(registry, task="rank", version="2", protocol="lamra", **probes)


def test_a_checkpoint_that_judges_as_recorded_is_used(
    settings: Settings, engine: EngineDouble, registry: Path
) -> None:
    publish(registry, judgement_probes=[JUDGED])
    engine.weights = lambda _: {YES: 0.78, NO: 0.22}
    with serving(settings) as client:
        assert rerank(client, "q", ["c"]).json()["model"] == "rank@2"

    probe = engine.asked[0]
    assert user_text(probe).endswith(
        f"Query:{lamra.FRAGMENT_INSTRUCTION} a cake.Candidate:anna: the cake is red"
    )


@pytest.mark.parametrize(
    "probes",
    [
        {"judgement_probes": [JUDGED.model_copy(update={"p_yes": 0.7})]},
        {"probes": [Probe(dialogue=FRAGMENT, expected="Yes")]},
    ],
)
def test_a_checkpoint_that_judges_otherwise_is_not_used(
    settings: Settings, engine: EngineDouble, registry: Path, probes: dict[str, Any]
) -> None:
    publish(registry, **probes)
    engine.weights = lambda _: {YES: 0.8, NO: 0.2}
    with serving(settings, wait_ready=False) as client:
        wait_for(lambda: "probe 0 has another answer" in client.get("/readyz").text)
        assert rerank(client, "q", ["c"]).status_code == 503
