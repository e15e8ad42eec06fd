import json
from pathlib import Path

import pytest

from training.evaluate.f2rvlm import main

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())


def test_json_holds_the_released_numbers(capsys) -> None:
    assert main(["--predictions", str(FIXTURES / "predictions.jsonl"), "--json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["micro"] == EXPECTED["predictions"]["micro"]
    assert (printed["samples"], printed["skipped_lines"]) == (24, 0)


def test_slices_are_joined_before_they_are_scored(capsys) -> None:
    sliced = ["--predictions", str(FIXTURES / "slices.jsonl"), "--json"]
    for extra in ([], ["--originals", str(FIXTURES / "dialogues.json")]):
        assert main([*sliced, *extra]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["micro"] == EXPECTED["slices"]["micro"]
        assert printed["merged_dialogues"] > 0


def test_without_json_a_table_is_printed(capsys) -> None:
    assert main(["--predictions", str(FIXTURES / "predictions.jsonl")]) == 0

    out = capsys.readouterr().out
    assert "micro" in out
    assert f"{EXPECTED['predictions']['micro']['joint']['f1']:.4f}" in out


def test_bad_lines_fail_the_run_and_are_named(tmp_path, capsys) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"response": "", "labels": ""}\n{"response": ""}\nnonsense\n')

    assert main(["--predictions", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{path}:2: has no `labels`" in said.err
    assert f"{path}:3: is not JSON" in said.err


def test_bad_lines_can_be_skipped_openly(tmp_path, capsys) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"response": "", "labels": ""}\n{"response": ""}\n')

    assert main(["--predictions", str(path), "--skip-bad-lines", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["skipped_lines"] == 1
    assert f"{path}:2" in said.err


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_predictions_is_refused(tmp_path, capsys, content) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text(content)

    assert main(["--predictions", str(path)]) == 1
    assert "holds no prediction" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path, capsys) -> None:
    assert main(["--predictions", str(tmp_path / "none.jsonl")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{}", "is not a list of dialogues"),
        ("nonsense", "is not JSON"),
        ("[{}]", "entry 0: has no `dialogue_id`"),
        ('[{"dialogue_id": "d", "images": [1]}]', "entry 0: images/0 has no path"),
    ],
)
def test_originals_that_cannot_be_used_are_one_clear_line(tmp_path, capsys, content, why) -> None:
    originals = tmp_path / "originals.json"
    originals.write_text(content)
    sliced = ["--predictions", str(FIXTURES / "slices.jsonl")]

    assert main([*sliced, "--originals", str(originals)]) == 1
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
