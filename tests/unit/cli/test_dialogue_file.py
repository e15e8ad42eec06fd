import base64
import json
from pathlib import Path

import pytest

from colloquy.cli.dialogue_file import read_dialogue, with_pictures
from colloquy.cli.failure import CommandFailed

TURN = {"speaker": "a", "content": "b"}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content", [{"utterances": [TURN]}, [TURN], {"title": "x", "dialogue": {"utterances": [TURN]}}]
)
def test_a_dialogue_may_stand_alone_as_a_list_or_in_a_sample(
    tmp_path: Path, content: object
) -> None:
    assert read_dialogue(write(tmp_path / "d.json", content))["utterances"] == [TURN]


@pytest.mark.parametrize("content", [{}, 3, {"utterances": {}}, "text"])
def test_what_is_not_a_dialogue_is_refused_by_name(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / "d.json", content)
    with pytest.raises(CommandFailed, match="is not a dialogue"):
        read_dialogue(path)


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(CommandFailed, match="is not JSON"):
        read_dialogue(tmp_path / "d.json")


def test_each_picture_on_disk_is_uploaded_once_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"cat")
    urls = ["cat.png", "data:image/png;base64,eA==", "cat.png", "blob:known"]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    uploads: list[str] = []

    def upload(data_url: str) -> str:
        uploads.append(data_url)
        return "blob:new"

    sent = with_pictures({"utterances": [{"content": parts}]}, tmp_path, upload)
    assert [part["image_url"]["url"] for part in sent["utterances"][0]["content"]] == [
        "blob:new",
        "data:image/png;base64,eA==",
        "blob:new",
        "blob:known",
    ]
    assert uploads == [f"data:image/png;base64,{base64.b64encode(b'cat').decode()}"]


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "gone.png"}}
    with pytest.raises(CommandFailed, match=r"gone\.png"):
        with_pictures({"utterances": [{"content": [part]}]}, tmp_path, str)
