from dataclasses import replace

import pytest

from loadtests.__main__ import main
from loadtests.verdict import Outcome, Thresholds

GOOD = Outcome(
    requests=100,
    failures=0,
    seconds=50.0,
    asked_per_s=2.0,
    p50_ms=100,
    p95_ms=200,
    p99_ms=300,
    problems={},
)
BOUNDS = Thresholds(p95_ms=200, error_share=0.01, offered_share=0.9)


def test_a_run_within_its_bounds_passes() -> None:
    assert GOOD.faults(BOUNDS) == []
    assert GOOD.report(BOUNDS)["passed"] is True


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (replace(GOOD, p95_ms=201), "p95 is 201 ms, above 200 ms"),
        (replace(GOOD, failures=2), "2.0% failed, above 1.0%"),
        (replace(GOOD, requests=89), "only 89% of the load was offered"),
        (replace(GOOD, failed_jobs=2), "2 ingestions were acknowledged and then failed"),
        (replace(GOOD, open_jobs=3), "3 ingestions could not be searched 120 s after"),
        (replace(GOOD, requests=0), "no request was answered"),
    ],
)
def test_each_bound_that_does_not_hold_is_named(outcome: Outcome, said: str) -> None:
    assert said in outcome.faults(BOUNDS)[0]
    assert outcome.report(BOUNDS)["passed"] is False


def test_without_a_stack_it_says_so_and_does_not_run(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = tmp_path_factory.mktemp("samples") / "dialogues.json"
    assert main(["--samples", str(samples)]) == 2
    samples.write_text("[]")
    assert main(["--samples", str(samples), "--host", "http://127.0.0.1:9"]) == 2
    assert "nothing answers at http://127.0.0.1:9" in capsys.readouterr().err
