"""The pictures of a training file: there, whole, and what they claim to be."""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from training.data.check.command import main
from training.data.check.pictures import Pictures

pytestmark = pytest.mark.integration


def picture(path: Path, format: str = "PNG") -> bytes:
    Image.effect_noise((60, 40), 90).convert("RGB").save(path, format)
    return path.read_bytes()


def bomb() -> bytes:
    """A PNG that says it has 40,000 x 40,000 pixels."""
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each."""
    made = tmp_path_factory.mktemp("pictures")
    whole = picture(made / "whole.png")
    for format in ("JPEG", "WEBP", "GIF", "BMP"):
        picture(made / f"whole.{format.lower()}", format)
    (made / "cut.png").write_bytes(whole[: len(whole) // 2])
    (made / "cut.jpg").write_bytes((made / "whole.jpeg").read_bytes()[:-900])
    (made / "text.png").write_text("no picture")
    (made / "empty.png").touch()
    (made / "bomb.png").write_bytes(bomb())
    (made / "folder.png").mkdir()
    os.mkfifo(made / "pipe.png")
    (made / "gone.png").symlink_to("nowhere.png")
    return made


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Iterator[Pictures]:
    with Pictures(folder) as made:
        yield made


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "gif", "bmp"])
def test_a_whole_picture_is_right(pictures: Pictures, name: str) -> None:
    assert pictures.why_not(f"whole.{name}") is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.png", "there is no such file"),
        ("gone.png", "there is no such file"),
        ("cut.png", "it is damaged or cut off"),
        ("cut.jpg", "it is damaged or cut off"),
        ("text.png", "is no PNG, JPEG, WebP, GIF or BMP"),
        ("empty.png", "is empty"),
        ("bomb.png", "has 40000 x 40000 pixels; that is too large"),
        ("folder.png", "is not a file"),
        ("pipe.png", "is not a file"),
        ("whole.png/x", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("a\0b", "is not the name of a file"),
    ],
)
def test_a_wrong_picture_is_told(pictures: Pictures, name: str, why: str) -> None:
    assert pictures.why_not(name) == why
    assert pictures.why_not(name) == why


def test_paths_begin_at_the_files_folder_or_where_it_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"image": "whole.png", "caption": "noise"}
    beside, apart = folder / "captions.json", tmp_path / "captions.json"
    for path in (beside, apart):
        path.write_text(json.dumps([record]))
    assert main([str(beside)]) == 0
    assert main([str(apart)]) == 1
    assert main([str(apart), "--images", str(folder)]) == 0
    assert main([str(apart), "--no-images"]) == 0
    assert main([str(apart), "--images", str(tmp_path / "none")]) == 2
    out = capsys.readouterr().out
    assert f"{apart}:1: record 1: image: whole.png: there is no such file" in out
