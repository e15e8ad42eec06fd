"""Recipes: all of the repository's are valid, unknown keys are refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from training import recipe

EVERY = sorted(Path("training/recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", EVERY, ids=str)
def test_a_recipe_of_the_repository_is_valid(path: Path) -> None:
    assert recipe.load(path).name


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("{kind: tokenizer, name: x, vocabulary: 10, dialogues: 1, vocabluary: 2}")
    with pytest.raises(ValidationError, match="vocabluary"):
        recipe.load(path)
