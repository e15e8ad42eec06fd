"""Files that are hostile, cut off or only odd: a line for each, never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.data_samples import RIGHT
from training.data.check import records as reading
from training.data.check.checker import Checker
from training.data.check.command import main
from training.data.check.problems import Problem
from training.data.check.raw import Raw
from training.data.check.splitter import Splitter

RECORD = json.dumps(RIGHT["mire"])


def problems(path: Path) -> list[str]:
    found = Checker(path, format=None, pictures=None).problems()
    return [problem.shown("") for problem in found]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: is empty"),
        (b"\n \n", ":1: holds no record"),
        (b"\x1f\x8b\x08\x00rest", ":1: is compressed with gzip; unpack it first"),
        (b"PK\x03\x04rest", ":1: is a zip archive; unpack it first"),
        (b"\xff\xfe{\x00}\x00", ":1: is UTF-16, not UTF-8"),
        (b"\x00\x01\x02\x03", ":1: is binary, not JSON text"),
        (b"[" * 100_000, ":1: is one JSON list under a name for JSON Lines"),
        (b'{"id": ' + b"[" * 100_000 + b"}", ":1: is nested deeper than 64 levels"),
        (b'{"id": ' + b"[" * 80 + b"]" * 80 + b"}", ":1: id.0.0.0: is nested deeper than 64"),
        (b'{"id": ' + b"9" * 1_000_000 + b"}", ":1: id: has more digits than a number here needs"),
        (b'{"id": 1' + b"0" * 1_000_000 + b".5}", ":1: id: has more digits than a number here"),
        (b'{"id": 1e999}', ":1: id: is not a finite number"),
        (b'{"id": Infinity}', ":1: id: is not a finite number"),
        (b'{"id": "a\\u0000"}', ":1: id: holds the character NUL at character 2"),
        (b'{"id": "\\ud800"}', ":1: id: holds half of a surrogate pair at character 1"),
        (b'{"\\ud800": 1}', r":1: \ud800: holds half of a surrogate pair"),
        (b'{"id": "\xff"}', ":1: byte 9 is not UTF-8"),
        (b'{"id": 1, "id": 2}', ":1: id: stands twice; the last one counts"),
        (b'{"id": 1,}', ":1: is not JSON: column "),
        (b'{"id": "\x1b[2J"}', ":1: is not JSON: column 9: invalid control character at"),
        (b'{"\\u001b[2J": "\\u0000"}', r":1: \x1b[2J: holds the character NUL"),
        (b"[1]\n", ":1: record 1: is not a JSON object"),
        (b"nope\n", ":1: is not JSON: column 1: expecting value"),
        (b"7\n", ":1: is not a JSON object"),
    ],
)
def test_a_hostile_file_is_told_in_lines(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    found = problems(path)
    assert [line for line in found if line.startswith(said)], found
    assert all("\n" not in line and "\x1b" not in line for line in found)


def test_a_byte_order_mark_is_told_and_the_rest_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + RECORD.encode())
    assert problems(path) == [":1: begins with a byte order mark, which JSON does not allow"]
    assert main([str(path), "--no-images"]) == 1
    assert "not checked; 1 problem (1 text)\n" in capsys.readouterr().out


def test_crlf_and_empty_lines_are_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(f"{RECORD}\r\n\r\n".encode())
    assert main([str(path), "--no-images"]) == 0
    assert "lines end in CRLF, which JSON allows; no problem" in capsys.readouterr().out


def test_lines_are_counted_by_line_breaks_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    odd = json.dumps(RIGHT["mire"] | {"input": "a\u2028b\x85c"}, ensure_ascii=False)
    path.write_text(f"{odd}\nnope\n", encoding="utf-8")
    assert problems(path) == [":2: is not JSON: column 1: expecting value"]


@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_a_huge_record_is_passed_over_and_the_next_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = ['{"id": 1}', json.dumps({"id": "x" * 5_000}), '{"id": 2}']
    text = "\n".join(rows) if name == "data.jsonl" else "[" + ",\n".join(rows) + "]"
    path.write_text(text)
    first, huge, last = reading.records(path, most_bytes=1_000)
    assert isinstance(first, Raw)
    assert isinstance(huge, Problem)
    assert huge.line == 2
    assert huge.why == "is larger than 1,000 bytes; was not read"
    assert isinstance(last, Raw)
    assert (last.line, json.loads(last.text)) == (3, {"id": 2})


def test_a_list_gives_each_record_its_number_and_its_line(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    wrong = dict(RIGHT["mire"]) | {"id": "2", "output": ""}
    path.write_text(json.dumps([RIGHT["mire"], wrong], indent=1))
    line = 2 + json.dumps([RIGHT["mire"]], indent=1).count("\n")
    assert problems(path) == [f":{line - 1}: record 2: output: is empty"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{}, {", ":1: record 2: the file ends inside it: it is cut off, or"),
        ('[{"id": 1', ":1: record 1: the file ends inside it"),
        ("[{},\n\n,{}]", ":3: nothing stands before a comma of the list"),
        ("[{},\n]", ":2: a comma stands before the end of the list"),
        ("[{}\n{}]", ":2: record 1: is not JSON: column 1: extra data"),
        ("[{}]\n[]", ":2: text stands behind the list's end; was not read"),
        ("[{}}", ":1: `}` ends the list, not `]`"),
        ('[{"a": "x},\n{"b": 1}]', ":1: record 1: is not JSON"),
        ('{"id":\n 1,}', ":2: is not JSON: column 4"),
        ("id,text\n", ":1: is no JSON: it begins with neither `[` nor `{`"),
    ],
)
def test_a_list_that_is_wrong_is_told_by_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    found = problems(path)
    assert [line for line in found if line.startswith(said)], found


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=6), st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_a_list_is_cut_into_its_items_wherever_it_is_read_in_pieces(
    items: list[Any], size: int, indent: int | None, is_ascii: bool
) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    splitter = Splitter()
    found: list[Raw | Problem] = []
    for start in range(0, len(text), size):
        found += splitter.feed(text[start : start + size])
    found += splitter.end()
    raws = [one for one in found if isinstance(one, Raw)]
    assert len(raws) == len(found)
    assert [json.loads(raw.text.decode("utf-8", "surrogatepass")) for raw in raws] == items
    assert [raw.number for raw in raws] == list(range(1, len(items) + 1))
    for raw in raws:
        rows = text.split(b"\n")
        assert raw.text.split(b"\n")[0] in rows[raw.line - 1]


@given(st.binary(max_size=60), st.sampled_from(["data.json", "data.jsonl"]))
def test_no_bytes_crash_the_check(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(content)
    assert problems(path)


@given(st.dictionaries(st.sampled_from(sorted({k for r in RIGHT.values() for k in r})), VALUES))
def test_no_record_crashes_the_check(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("record") / "data.jsonl"
    path.write_text(json.dumps(record) + "\n")
    for format in (None, "swift", "surf", "imageref", "llava", "mire", "wechat", "caption"):
        list(Checker(path, format=format, pictures=None).problems())


def test_problems_are_shown_up_to_a_limit_and_counted_to_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f"{RECORD}\n" + "nope\n" * 7)
    assert main([str(path), "--no-images", "--limit", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{path}:{line}: is not JSON: column 1: expecting value" for line in (2, 3)
    ]
    assert lines[2:] == [
        f"{path}: mire: 8 records (1 intent); 1 image not checked; "
        "7 problems in 7 records (7 JSON), the first 2 shown"
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [(".", "is a folder; name a file in it"), ("nonesuch.json", "No such file or directory")],
)
def test_what_is_no_file_is_a_wrong_call(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / name), "--no-images"]) == 2
    assert said in capsys.readouterr().err


def test_a_device_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/dev/zero", "--no-images"]) == 2
    assert "is not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["x", "-1", "1" * 5_000])
def test_a_limit_is_a_number(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data.json", "--limit", limit])
    assert "--limit: must be a number, 0 or more" in capsys.readouterr().err


def test_a_byte_is_counted_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b'[{"id": "1",\n "x": "\xff"}]')
    assert problems(path) == [":2: record 1: byte 8 is not UTF-8"]


def test_addresses_are_counted_apart_from_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(RIGHT["imageref"]) + "\n")
    assert main([str(path), "--no-images"]) == 0
    told = capsys.readouterr().out
    assert "; 1 image not checked; 1 image at an address not fetched; no problem" in told
