import base64
import io
import json
import socket
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from colloquy.cli.counts import Lines
from colloquy.cli.failure import CommandFailed
from colloquy.cli.gateway import Gateway
from colloquy.cli.index import run, sources
from colloquy.cli.ingestion import CHUNK_ITEMS
from colloquy.contracts.collections import CollectionSpec
from tests.unit.cli.conftest import Standing

PNG = b"\x89PNG picture"


def dialogue(name: str, *contents: Any) -> dict[str, Any]:
    said = [{"speaker": "a", "content": content} for content in contents or ("b",)]
    return {"id": name, "utterances": said}


def shown(url: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}}]


def write(path: Path, *dialogues: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in dialogues))
    return path


def outcome_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_dialogues_of_a_file_are_in_the_collection_afterwards(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"), dialogue("y"))
    assert standing.run("index", str(path), "--collection", "family") == 0
    assert set(standing.gateway.dialogues["family"]) == {"x", "y"}
    assert "2 dialogues can be searched" in capsys.readouterr().out


def test_a_collection_that_is_there_stays_as_it_is(standing: Standing, tmp_path: Path) -> None:
    standing.gateway.collections["family"] = CollectionSpec(retention_days=30)
    standing.run("index", str(write(tmp_path / "d.ndjson", dialogue("x"))), "--collection=family")
    assert standing.gateway.collections["family"].retention_days == 30


def test_pictures_go_first_each_once_and_records_refer_to_them(
    standing: Standing, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/cat.png").write_bytes(PNG)
    inline = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    urls = ["pictures/cat.png", "blob:known", "https://example.org/x.png", inline]
    path = write(
        tmp_path / "d.ndjson", dialogue("x", *map(shown, urls)), dialogue("y", shown(urls[0]))
    )
    assert standing.run("index", str(path), "--collection", "family") == 0
    kept = standing.gateway.dialogues["family"]
    images = kept["x"].images
    assert standing.gateway.pictures[images[0]] == PNG
    assert images[1:3] == urls[1:3]
    assert images[3].startswith("blob:")
    assert kept["y"].images == images[:1]


def test_sending_again_changes_nothing(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"), dialogue("y"))
    for unchanged in (0, 2):
        assert standing.run("index", str(path), "--collection", "family", "--json") == 0
        done = outcome_of(capsys)
        assert (done["indexed"], done["unchanged"]) == (2, unchanged)
    assert len(standing.gateway.dialogues["family"]) == 2


def test_what_failed_or_was_dropped_meanwhile_is_there_after_another_run(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"), dialogue("y"))
    standing.gateway.bad["y"] = "the engine was away"
    assert standing.run("index", str(path), "--collection", "family") == 1
    standing.gateway.bad.clear()
    assert standing.run("index", str(path), "--collection", "family") == 0
    assert standing.run("collections", "drop", "family", "--yes") == 0
    assert standing.run("index", str(path), "--collection", "family") == 0
    assert set(standing.gateway.dialogues["family"]) == {"x", "y"}


def test_many_dialogues_go_in_chunks_and_errors_name_file_line_and_field(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = CHUNK_ITEMS + 10
    path = write(tmp_path / "d.ndjson", *(dialogue(f"d-{n}") for n in range(count)))
    standing.gateway.bad[f"d-{CHUNK_ITEMS + 3}"] = "cannot be embedded"
    assert standing.run("index", str(path), "--collection", "family") == 1
    assert len(standing.gateway.bodies) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert f"{count - 1} dialogues can be searched 1 cannot" in out
    line = f"line {CHUNK_ITEMS + 4}: utterances/0: cannot be embedded (d-{CHUNK_ITEMS + 3})"
    assert line in out


def test_wrong_items_and_lost_pictures_are_reported_and_the_others_go_on(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")
    path = write(
        tmp_path / "d.ndjson",
        dialogue("x", shown("gone.png")),
        dialogue("y", 3),
        dialogue("z", "t", shown("bad.png")),
        dialogue("w"),
    )
    assert standing.run("index", str(path), "--collection", "family", "--json") == 1
    done = outcome_of(capsys)
    assert (done["indexed"], done["failed"]) == (1, 3)
    assert {(fault["place"], fault["at"]) for fault in done["faults"]} == {
        ("line 1", "utterances/0/content/0/image_url/url"),
        ("line 2", "utterances/0/content"),
        ("line 3", "utterances/1/content/0/image_url/url"),
    }


def test_what_is_wrong_is_listed_in_the_order_of_the_files(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"d-{number}" for number in range(12)]
    first = write(tmp_path / "1.ndjson", *map(dialogue, names), dialogue("late", 3))
    second = write(tmp_path / "2.ndjson", dialogue("soon", 3))
    standing.gateway.bad["d-9"] = "cannot be embedded"
    files = str(first), str(second)
    assert standing.run("index", *files, "--collection", "family", "--json") == 1
    told = [(fault["file"], fault["place"]) for fault in outcome_of(capsys)["faults"]]
    assert told == [(files[0], "line 10"), (files[0], "line 13"), (files[1], "line 1")]


def test_a_chunk_that_is_refused_is_halved_until_the_wrong_one_is_alone(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "d.ndjson", *(dialogue(name) for name in "abcd"))
    # The whole, the first half and its first line are refused.
    standing.gateway.refuse = [("/dialogues", 413)] * 3
    assert standing.run("index", str(path), "--collection", "family", "--json") == 1
    done = outcome_of(capsys)
    assert set(standing.gateway.dialogues["family"]) == {"b", "c", "d"}
    assert [fault["dialogue_id"] for fault in done["faults"]] == ["a"]


def test_a_busy_gateway_is_asked_again(standing: Standing, tmp_path: Path) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"))
    standing.gateway.refuse = [("/dialogues", 503), ("/dialogues", 429)]
    assert standing.run("index", str(path), "--collection", "family") == 0


def test_a_gateway_that_wants_a_key_ends_it_at_once(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.gateway.refuse = [("/dialogues", 403)]
    path = write(tmp_path / "d.ndjson", dialogue("x"))
    assert standing.run("index", str(path), "--collection", "family") == 1
    assert capsys.readouterr().err.startswith("colloquy index: No")


def test_a_file_that_is_not_there_is_named_before_anything_is_sent(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path / "d.ndjson", dialogue("x"))
    assert standing.run("index", str(good), "gone.json", "--collection", "family") == 1
    assert "gone.json: there is no such file" in capsys.readouterr().err
    assert standing.gateway.bodies == []


def test_a_folder_is_told_from_a_file_that_is_not_there(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert standing.run("index", str(tmp_path), "--collection", "family") == 1
    assert "is a folder" in capsys.readouterr().err
    assert standing.gateway.collections == {}


def test_events_that_break_off_are_taken_up_again(standing: Standing, tmp_path: Path) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"))
    standing.gateway.broken_streams = 1
    assert standing.run("index", str(path), "--collection", "family") == 0


def test_several_files_are_one_outcome(standing: Standing, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.ndjson", dialogue(name)) for name in "xy"]
    standing.gateway.collections["family"] = CollectionSpec()
    with Gateway(standing.url, None) as gateway:
        outcome = run(gateway, "family", sources(paths))
    assert (outcome.sent, outcome.indexed, len(outcome.jobs)) == (2, 2, 2)


def test_a_gateway_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        calls: list[bytes] = []

        def serve() -> None:
            told = (
                b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 14\r\n\r\n{"job": "j-1"}'
            )
            for reply in (told, b"", told):
                connection, _ = server.accept()
                with connection:
                    calls.append(connection.recv(65_536))
                    connection.sendall(reply)

        thread = Thread(target=serve)
        thread.start()
        waits: list[float] = []
        with Gateway(
            f"http://127.0.0.1:{port}", None, patience_s=30, sleep=waits.append
        ) as gateway:
            for _ in range(2):
                assert gateway.post("/v1/x", {}) == {"job": "j-1"}
        thread.join()
    assert len(calls) == 3
    assert len(waits) == 1


def test_a_gateway_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"))
    with Gateway("http://127.0.0.1:9", None) as gateway, pytest.raises(CommandFailed, match="not"):
        run(gateway, "family", sources([path]))


# --- how far it is ------------------------------------------------------------------------------


def test_in_a_pipe_lines_on_stderr_say_how_far_it_is(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "d.ndjson", dialogue("x"), dialogue("y"))
    assert standing.run("index", str(path), "--collection", "family", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["indexed"] == 2
    assert printed.err.splitlines()[-1] == "2 read, 2 sent, 2 searchable (100 %)"


def test_lines_are_sparse_a_tenth_or_some_seconds_apart() -> None:
    now, out = [0.0], io.StringIO()
    lines = Lines(out, clock=lambda: now[0])
    for _ in range(1_000):  # 0.1 s each, so 5 s are 50 of them
        now[0] += 0.1
        lines.read(1)
    while_reading = len(out.getvalue().splitlines())
    lines.sent(1_000)
    lines.all_read()
    for _ in range(1_000):
        lines.searchable(1)

    said = out.getvalue().splitlines()
    assert 15 <= while_reading <= 20
    assert len(said) - while_reading == 10
    assert said[-1] == "1000 read, 1000 sent, 1000 searchable (100 %)"
