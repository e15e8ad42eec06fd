"""The command line on a real stack."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.local_stack import LocalStack, until


@pytest.fixture
def dialogue(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 48), "orange").save(tmp_path / "orange.png")
    picture = {"type": "image_url", "image_url": {"url": "orange.png"}}
    turns = [
        {"speaker": "user1", "content": [{"type": "text", "text": "look"}, picture]},
        {"speaker": "user2", "content": "An orange card!"},
    ]
    path = tmp_path / "dialogue.json"
    path.write_text(json.dumps({"utterances": turns}), encoding="utf-8")
    return path


def test_demo_asks_three_questions_and_leaves_the_stack_up(stack: LocalStack) -> None:
    shown = stack.run("demo")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("? ") >= 3
    assert "picture" in shown.stdout
    assert stack.page_url in shown.stdout
    until(stack.is_ready, within_s=60.0)  # the demo's questions may still be keeping it busy


def test_search_takes_pictures_from_beside_the_dialogue(stack: LocalStack, dialogue: Path) -> None:
    found = stack.run("search", "--dialogue", str(dialogue), "--json", "the orange card")
    assert found.returncode == 0, found.stderr
    assert {"fragments", "models", "timings_ms"} <= json.loads(found.stdout).keys()


def test_split_puts_every_turn_into_a_topic(stack: LocalStack, dialogue: Path) -> None:
    found = stack.run("split", "--dialogue", str(dialogue), "--json")
    assert found.returncode == 0, found.stderr
    topics = json.loads(found.stdout)["fragments"]
    assert sorted(turn for topic in topics for turn in topic["utterance_ids"]) == [0, 1]


def test_a_refusal_is_one_line_in_the_gateways_words(stack: LocalStack, tmp_path: Path) -> None:
    path = tmp_path / "dialogue.json"
    path.write_text('{"utterances": [{"speaker": "a", "content": "b", "colour": "red"}]}')
    refused = stack.run("split", "--dialogue", str(path))
    assert refused.returncode == 1
    assert "body/dialogue/utterances/0/colour" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_logs_show_what_each_process_says(stack: LocalStack) -> None:
    told = stack.run("logs", "generator", "--lines", "5")
    assert told.returncode == 0
    assert told.stdout.startswith("generator │ ")


def test_doctor_finds_nothing_in_the_way_of_a_stack_that_runs(stack: LocalStack) -> None:
    examined = stack.run("doctor", "--json")
    findings = json.loads(examined.stdout)
    assert [f for f in findings if f["verdict"] == "failed"] == []
    assert examined.returncode == 0
