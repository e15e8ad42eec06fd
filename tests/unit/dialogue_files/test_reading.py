import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.dialogue_files import Fault, Read, read_dialogues

TURN = {"speaker": "a", "content": "b"}


def dialogue(name: str, *contents: str) -> dict:
    said = [{"speaker": "a", "content": content} for content in contents or ("b",)]
    return {"id": name, "utterances": said}


def write(path: Path, content: object) -> Path:
    lines = isinstance(content, list) and path.suffix in (".ndjson", ".jsonl")
    text = "\n".join(map(json.dumps, content)) if lines else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_are_read_one_by_one_and_blank_ones_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "d.ndjson"
    path.write_text(f"\n{json.dumps(dialogue('x'))}\n \n{json.dumps(dialogue('y'))}\n")
    found = list(read_dialogues(path))
    assert [(one.place, one.dialogue.id) for one in found if isinstance(one, Read)] == [
        ("line 2", "x"),
        ("line 4", "y"),
    ]


@pytest.mark.parametrize(
    "content", [dialogue("x"), [dialogue("x")], [TURN], {"dialogue": dialogue("x")}]
)
def test_a_json_file_is_one_dialogue_or_a_list(tmp_path: Path, content: object) -> None:
    (one,) = read_dialogues(write(tmp_path / "d.json", content))
    assert isinstance(one, Read)
    assert len(one.dialogue.utterances) == 1


def test_lines_under_the_name_json_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text("\n".join(json.dumps(dialogue(name)) for name in "xy"))
    assert [one.place for one in read_dialogues(path)] == ["line 1", "line 2"]


def test_faults_name_line_field_and_dialogue_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    wrong = {"id": "w", "utterances": [{"speaker": "a", "content": 1}]}
    path.write_text("\n".join(["{", json.dumps(wrong), json.dumps(dialogue("x")), "3"]))
    found = list(read_dialogues(path))
    faults = [one for one in found if isinstance(one, Fault)]
    assert [(one.place, one.at, one.dialogue_id) for one in faults] == [
        ("line 1", "", None),
        ("line 2", "utterances/0/content", "w"),
        ("line 4", "", None),
    ]
    assert str(faults[0]).startswith("line 1: is not JSON: column ")
    assert sum(isinstance(one, Read) for one in found) == 1


def test_a_dialogue_of_several_samples_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "d.json", [dialogue("x"), dialogue("y"), dialogue("x")])
    assert [one.dialogue.id for one in read_dialogues(path) if isinstance(one, Read)] == ["x", "y"]


def test_two_dialogues_with_one_id_are_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "d.json", [dialogue("x"), dialogue("x", "another")])
    first, second = read_dialogues(path)
    assert isinstance(first, Read)
    assert isinstance(second, Fault)
    assert str(second) == "item 2: id: another dialogue of this file has the same id"


def test_a_file_that_is_not_json_is_one_fault(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text("[1,\n2")
    (fault,) = read_dialogues(path)
    assert str(fault).startswith("is not JSON: line 2, column 2")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_dialogues(tmp_path / "gone.json"))


@given(st.binary(max_size=200), st.sampled_from(["d.json", "d.ndjson"]))
def test_no_bytes_crash_the_reader(tmp_path_factory, data: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(data)
    assert all(isinstance(one, Fault) for one in read_dialogues(path))


def test_text_that_is_not_utf_8_is_a_fault_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "d.ndjson"
    line = json.dumps(dialogue("x")).encode()
    path.write_bytes(line.replace(b'"b"', b'"\xff"') + b"\n" + line)
    first, second = read_dialogues(path)
    assert isinstance(first, Fault)
    assert first.at == "utterances/0/content"
    assert isinstance(second, Read)
