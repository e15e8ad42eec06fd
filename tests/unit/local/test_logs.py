from pathlib import Path

import pytest

from colloquy.local.logs import MAX_LOG_BYTES, bound, reason_in, size_of, tail


def test_the_reason_is_the_last_error_with_what_follows_it(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text(
        "(APIServer pid=7) INFO 11-21 10:05:20 [launcher.py:69] Route: /v1/models\n"
        "Traceback (most recent call last):\n"
        "pydantic_core._pydantic_core.ValidationError: 1 error for ModelConfig\n"
        "  max_model_len is greater than the model's\n"
    )
    assert reason_in(log, since=0) == (
        "ValidationError: 1 error for ModelConfig max_model_len is greater than the model's"
    )


def test_without_an_error_the_reason_is_the_last_words(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("starting\ngateway: the port is taken\n\n")
    assert reason_in(log, since=0) == "gateway: the port is taken"


def test_an_earlier_run_is_not_the_reason_of_this_one(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("ValueError: of yesterday\n")
    position = size_of(log)
    assert reason_in(log, since=position) == "it said nothing"


def test_a_line_of_json_is_read_for_its_message(tmp_path: Path) -> None:
    log = tmp_path / "generator.log"
    log.write_text('{"level": "error", "message": "no such checkpoint"}\n')
    assert reason_in(log, since=0) == "no such checkpoint"


def test_a_log_that_was_begun_anew_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("fresh\n")
    assert tail(log, since=10_000) == ["fresh"]


@pytest.mark.parametrize("missing", ["a.log", "b/c.log"])
def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path, missing: str) -> None:
    assert tail(tmp_path / missing) == []
    assert size_of(tmp_path / missing) == 0


def test_a_long_log_begins_anew_and_keeps_what_was(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    with log.open("ab") as writer:
        writer.write(b"x" * (MAX_LOG_BYTES + 1))
        writer.flush()
        bound(log)
        assert size_of(log) == 0
        writer.write(b"after\n")
    assert tail(log) == ["after"]
    assert size_of(tmp_path / "engine.log.1") == MAX_LOG_BYTES + 1
