import stat
from pathlib import Path

import pytest

from colloquy.local.layout import Layout, NotPrivate
from colloquy.local.state import StackState, read_state
from colloquy.profile import Profile


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(
        Profile.model_validate(
            {
                "name": "test",
                "about": "Nothing.",
                "root": tmp_path,
                "engines": {"one": {"runtime": "vllm", "model": "base@1"}},
                "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
            }
        )
    )


def test_sockets_and_secrets_are_for_this_user_alone(layout: Layout) -> None:
    layout.prepare()
    layout.blob_key()
    key = next(layout.keys_file.parent.glob("secrets/*"))
    assert stat.S_IMODE(layout.run_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    layout.run_dir.rmdir()


def test_the_key_of_the_blobs_is_made_once(layout: Layout) -> None:
    layout.prepare()
    assert layout.blob_key() == layout.blob_key()
    layout.run_dir.rmdir()


def test_a_run_folder_that_is_a_link_is_refused(layout: Layout, tmp_path: Path) -> None:
    layout.run_dir.parent.mkdir(parents=True, exist_ok=True)
    layout.run_dir.symlink_to(tmp_path)
    with pytest.raises(NotPrivate):
        layout.prepare()
    layout.run_dir.unlink()


def test_a_state_of_another_boot_is_nobodys(tmp_path: Path) -> None:
    state = StackState(
        profile="test",
        profile_path="test.yaml",
        state="ready",
        boot="another",
        supervisor=(1, 0),
        api_url="http://127.0.0.1:1",
    )
    state.write(tmp_path / "stack.json")
    found = read_state(tmp_path / "stack.json")
    assert found == state
    assert not state.supervisor_is_alive


@pytest.mark.parametrize("content", ["", "{", "[]", '{"profile": 1}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert read_state(tmp_path / "stack.json") is None
