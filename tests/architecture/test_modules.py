"""Sizes and names, so that growth does not go where it always goes wrong."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("colloquy", "gateway", "services", "training", "loadtests", "benchmarks", "setup")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
EMPTY_NAMES = {"utils", "common", "helpers", "core", "manager", "base"}
# Recipes and stages of training are called after the checkpoint they make.
NAMED_AFTER_A_CHECKPOINT = {"training/base.py"}


def modules() -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "runs" not in path.relative_to(ROOT).parts:
                yield path


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_at_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    functions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {
        node.name: length
        for node in functions
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    found = {str(path.relative_to(ROOT)) for path in modules() if path.stem in EMPTY_NAMES}
    assert found - NAMED_AFTER_A_CHECKPOINT == set()
