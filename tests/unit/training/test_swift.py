"""The ms-swift format: what is written is read back, and a wrong sample is named."""

import json
from pathlib import Path

import pytest

from colloquy.protocols import f2rvlm
from training.data import prompts, swift
from training.data.world import splits


def test_written_samples_are_read_back_equal(tmp_path: Path) -> None:
    entry = splits.sample("validation", 3)
    example = prompts.fragment_example(entry.dialogue, entry.queries[0])
    images = [f"{n}.png" for n in range(len(example.pictures))]
    sample = swift.SwiftSample.of(example.system, example.user, example.answer, images, "d-3")
    for name in ("data.json", "data.jsonl"):
        swift.write(tmp_path / name, [sample, sample])
        assert list(swift.read(tmp_path / name)) == [sample, sample]
    assert f2rvlm.parse_query(sample.messages[1].content) == entry.queries[0].text


def test_a_line_ends_at_a_line_break_alone(tmp_path: Path) -> None:
    sample = swift.SwiftSample.of("s", "one\u2028two\x85three", "answer", [], "d-1")
    swift.write(tmp_path / "data.jsonl", [sample])
    assert list(swift.read(tmp_path / "data.jsonl")) == [sample]


def test_a_sample_with_too_few_images_is_refused_by_number(tmp_path: Path) -> None:
    record = {"messages": [{"role": "user", "content": "<image>"}], "images": []}
    (tmp_path / "bad.json").write_text(json.dumps([record]))
    with pytest.raises(ValueError, match="sample 0 of bad"):
        list(swift.read(tmp_path / "bad.json"))
