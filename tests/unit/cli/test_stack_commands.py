"""Commands on a stack that is down: they say so, and start nothing."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from colloquy.cli import main
from colloquy.cli.failure import CommandFailed
from colloquy.cli.stack import bring_up


@pytest.fixture
def profile(tmp_path: Path) -> str:
    content = {
        "name": "test",
        "about": "Nothing.",
        "state": str(tmp_path / "var"),
        "engines": {"one": {"runtime": "vllm", "model": "base@1"}},
        "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_status_of_a_stack_that_is_down(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--profile", profile, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "profile": "test",
        "state": "down",
        "ready": False,
        "detail": "",
    }


def test_down_twice_is_no_failure(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--profile", profile]) == 0
    assert main(["down", "--profile", profile]) == 0
    assert "nothing was up" in capsys.readouterr().out


def test_a_search_on_a_stack_that_is_down_says_what_starts_it(
    profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = tmp_path / "dialogue.json"
    dialogue.write_text('{"utterances": [{"speaker": "a", "content": "b"}]}')
    assert main(["search", "--profile", profile, "--dialogue", str(dialogue), "b"]) == 1
    assert "`colloquy up` starts it" in capsys.readouterr().err


def test_logs_of_a_process_that_never_ran_names_those_that_did(
    profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "--profile", profile, "nonesuch"]) == 1
    assert "there are none" in capsys.readouterr().err


def test_a_key_is_printed_alone_listed_without_its_secret_and_revoked(
    profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["keys", "create", "--profile", profile, "--tenant", "shop", "--scope", "search"]
    assert main([*made, "--label", "the page"]) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("cq_")
    assert main(["keys", "list", "--profile", profile, "--json"]) == 0
    listed = capsys.readouterr().out
    (record,) = json.loads(listed)
    assert record["tenant"] == "shop"
    assert record["label"] == "the page"
    assert key.rpartition("_")[2] not in listed
    assert main(["keys", "revoke", "--profile", profile, record["id"]]) == 0
    assert main(["keys", "revoke", "--profile", profile, record["id"]]) == 1
    assert "no such key" in capsys.readouterr().err


def test_a_key_without_a_tenant_is_refused_in_one_line(
    profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--profile", profile]) == 1
    said = capsys.readouterr().err
    assert "tenant" in said
    assert said.count("\n") == 1


def test_up_on_another_profile_than_the_one_that_runs_says_so() -> None:
    stack: Any = SimpleNamespace(
        profile=SimpleNamespace(name="small"),
        start=lambda *, tied: tied,  # False: one runs already
        state=lambda: SimpleNamespace(profile="starter"),
    )
    with pytest.raises(CommandFailed, match=r"up on profile `starter`.*then `small` can start"):
        bring_up(stack, Console())


def test_a_backup_and_a_restore_are_told(
    profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--tenant", "home", "--profile", profile]) == 0
    file = str(tmp_path / "b.tar")
    assert main(["backup", file, "--profile", profile]) == 0
    assert main(["restore", file, "--profile", profile]) == 1
    (tmp_path / "var").rename(tmp_path / "lost")
    assert main(["restore", file, "--profile", profile]) == 0
    said = capsys.readouterr()
    assert "databases: 1, pictures: 0" in said.out
    assert "`colloquy reindex --all`" in said.out
    assert "is not empty (keys.db" in said.err
    assert main(["keys", "list", "--profile", profile]) == 0
    assert "home" in capsys.readouterr().out


def test_a_backup_that_is_not_there_is_named(
    profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(tmp_path / "gone.tar"), "--profile", profile]) == 1
    assert "gone.tar: No such file" in capsys.readouterr().err
