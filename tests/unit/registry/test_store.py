import json
from pathlib import Path

import pytest

from colloquy.registry.store import CheckpointBroken, CheckpointMissing, Registry
from tests.unit.registry.checkpoints import write_adapter, write_base, write_manifest


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "starter"
    write_base(folder)
    write_adapter(folder)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def test_finds_a_version_by_name(own: Path, shipped: Path) -> None:
    found = Registry([own, shipped]).resolve("fragment@1")

    assert (found.name, found.folder) == ("fragment@1", shipped / "fragment" / "1")


def test_a_bare_name_is_the_shipped_version_until_another_is_promoted(
    own: Path, shipped: Path
) -> None:
    write_adapter(own, version="2")
    registry = Registry([own, shipped])
    assert registry.resolve("fragment").name == "fragment@1"

    (own / "fragment" / "promoted").write_text("2\n")
    assert registry.resolve("fragment").name == "fragment@2"


def test_a_promotion_may_go_back_to_a_version_of_another_folder(own: Path, shipped: Path) -> None:
    write_adapter(own, version="2")
    (own / "fragment" / "promoted").write_text("1")

    assert Registry([own, shipped]).resolve("fragment").folder == shipped / "fragment" / "1"


def test_ten_is_newer_than_nine(shipped: Path) -> None:
    for version in ("9", "10"):
        write_adapter(shipped, version=version)

    assert Registry([shipped]).resolve("fragment").name == "fragment@10"
    assert Registry([shipped]).versions("fragment") == ["1", "9", "10"]


@pytest.mark.parametrize("name", ["fragment@7", "nothing", "", "../fragment@1", "fragment@../1"])
def test_a_name_without_checkpoint_is_missing(shipped: Path, name: str) -> None:
    with pytest.raises(CheckpointMissing):
        Registry([shipped]).resolve(name)


def test_a_manifest_of_another_checkpoint_is_refused(shipped: Path) -> None:
    (shipped / "fragment" / "1").rename(shipped / "fragment" / "2")

    with pytest.raises(CheckpointBroken, match="fragment@1"):
        Registry([shipped]).resolve("fragment@2")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"task": "fragment"}', "\xff"])
def test_a_manifest_that_does_not_hold_is_refused_in_one_line(shipped: Path, text: str) -> None:
    (shipped / "fragment" / "1" / "manifest.json").write_text(text, encoding="latin-1")

    with pytest.raises(CheckpointBroken) as failure:
        Registry([shipped]).resolve("fragment@1")
    assert "\n" not in str(failure.value)


def verify(registry: Path) -> None:
    store = Registry([registry])
    store.verify(store.resolve("fragment@1"))


def test_a_whole_checkpoint_is_verified(shipped: Path) -> None:
    verify(shipped)


def test_changed_bytes_are_refused(shipped: Path) -> None:
    weights = shipped / "fragment" / "1" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)

    with pytest.raises(CheckpointBroken, match="another hash"):
        verify(shipped)


def test_a_missing_file_is_refused(shipped: Path) -> None:
    (shipped / "fragment" / "1" / "adapter_config.json").unlink()

    with pytest.raises(CheckpointBroken, match="missing"):
        verify(shipped)


def test_a_file_beside_the_manifest_is_refused(shipped: Path) -> None:
    (shipped / "fragment" / "1" / "notes.txt").write_text("hello")

    with pytest.raises(CheckpointBroken, match="not in the manifest"):
        verify(shipped)


@pytest.mark.parametrize("name", ["modeling.py", "weights.bin", "model.pkl", "sub/state.pt"])
def test_code_and_pickles_are_refused_even_when_listed(shipped: Path, name: str) -> None:
    folder = shipped / "fragment" / "1"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    write_manifest(
        folder, task="fragment", version="1", kind="adapter", weights="adapter_model.safetensors"
    )

    with pytest.raises(CheckpointBroken, match=r"is code|is not safetensors"):
        verify(shipped)


def test_auto_map_is_refused_wherever_it_stands(shipped: Path) -> None:
    folder = shipped / "fragment" / "1"
    (folder / "config.json").write_text(json.dumps({"a": [{"auto_map": {"AutoModel": "x.Y"}}]}))
    write_manifest(
        folder, task="fragment", version="1", kind="adapter", weights="adapter_model.safetensors"
    )

    with pytest.raises(CheckpointBroken, match="auto_map"):
        verify(shipped)


def test_links_are_refused(shipped: Path, tmp_path: Path) -> None:
    config = shipped / "fragment" / "1" / "adapter_config.json"
    config.rename(tmp_path / "elsewhere.json")
    config.symlink_to(tmp_path / "elsewhere.json")

    with pytest.raises(CheckpointBroken, match="is a link"):
        verify(shipped)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "./x"])
def test_paths_that_leave_the_checkpoint_are_refused(shipped: Path, path: str) -> None:
    folder = shipped / "fragment" / "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][path] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(CheckpointBroken, match="not a path inside"):
        verify(shipped)


def test_weights_that_are_not_listed_are_refused(shipped: Path) -> None:
    folder = shipped / "fragment" / "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"weights": "other.safetensors"}))

    with pytest.raises(CheckpointBroken, match="does not list its weights"):
        verify(shipped)
