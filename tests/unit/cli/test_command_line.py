import os
import subprocess
import sys
from pathlib import Path

import pytest

from colloquy.cli import main

COMMANDS = (
    *("up", "down", "status", "logs", "demo", "doctor", "keys", "search", "split", "index"),
    *("collections", "jobs", "erase", "reindex", "backup", "restore", "eval", "train", "data"),
)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in shown] == []


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from colloquy.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'rich', 'httpx', 'yaml', 'torch'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "wrong", [[], ["fly"], ["search", "--dialogue", "x.json"], ["up", "--fast"], ["keys"]]
)
def test_a_wrong_call_ends_with_two(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2


def test_an_unknown_profile_is_one_line_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["status", "--profile", "nonesuch"]) == 1
    said = capsys.readouterr().err
    assert "there is no profile `nonesuch`" in said
    assert "starter" in said
    assert said.count("\n") == 1


def test_a_profile_file_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "mine.yaml"
    assert main(["doctor", "--profile", str(missing)]) == 1
    assert str(missing) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["train", "nonesuch"], 2, "colloquy train: nonesuch: there is no such file and no recipe"),
        (["data", "check", "nonesuch"], 2, "colloquy data check: nonesuch: No such file"),
        (["data", "check", "--limit", "x", "a"], 2, "usage: colloquy data check"),
        (["data"], 2, "usage: colloquy data"),
    ],
)
def test_training_is_called_from_any_folder(
    words: list[str], status: int, said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "colloquy.cli", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.startswith(said)
