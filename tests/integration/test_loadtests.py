"""The load test of collections, on a real gateway over doubles."""

import json
from pathlib import Path

import pytest

from colloquy.contracts.content import Utterance
from colloquy.servicekit.problems import Unavailable
from loadtests.__main__ import main
from loadtests.shelf import COLLECTION
from tests.doubles.front_stack import running_front
from tests.doubles.gateway import PAGE_TOKEN

pytestmark = pytest.mark.integration
SAMPLES = str(Path(__file__).parents[2] / "starter" / "samples" / "dialogues.json")


def test_ingestions_and_searches_are_sent_and_the_collection_goes_after_it(tmp_path: Path) -> None:
    with running_front(tmp_path) as front:
        turn = Utterance(id=0, speaker="Ana", content="look, a cake")
        front.retriever.keep("d", [turn], collection=COLLECTION)
        arguments = ["--scenario", "corpus", "--host", front.url, "--key", PAGE_TOKEN]
        arguments += [
            *("--report", str(tmp_path / "told"), "--samples", SAMPLES),
            *("--rate", "3", "--seconds", "8"),
        ]
        status = main([*arguments, "--p95-ms", "60000", "--error-share", "0"])
        told = json.loads((tmp_path / "told" / "report.json").read_text())
        jobs = len(front.indexer.jobs)
        left = dict(front.indexer.collections)

    assert told["problems"] == {}
    assert told["faults"] in ([], [fault for fault in told["faults"] if "was offered" in fault])
    assert status == int(bool(told["faults"]))
    assert jobs > 1
    assert left == {}


def test_a_collection_that_cannot_be_made_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with running_front(tmp_path) as front:
        front.indexer.failure, front.indexer.fail_at = Unavailable("gone"), "put"
        arguments = ["--scenario", "corpus", "--host", front.url, "--key", PAGE_TOKEN]
        arguments += ["--report", str(tmp_path / "told")]
        status = main([*arguments, "--samples", SAMPLES, "--seconds", "5"])

    assert status == 2
