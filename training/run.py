"""Runs one recipe: `python -m training.run training/recipes/X.yaml`."""

import argparse
from pathlib import Path

from training import recipe as recipes
from training.recipe import RUNS, TokenizerRecipe, VisionRecipe


def run(path: Path) -> Path:
    """Runs a recipe to its end, from its last checkpoint if there is one; returns the result."""
    recipe = recipes.load(path)
    if isinstance(recipe, TokenizerRecipe):
        return _tokenizer(recipe)
    if isinstance(recipe, VisionRecipe):
        from training import vision

        return vision.train(recipe)
    if isinstance(recipe, recipes.AlignmentRecipe):
        from training import alignment

        return alignment.train(recipe)
    if isinstance(recipe, recipes.BaseRecipe):
        from training import base

        return base.train(recipe)
    if isinstance(recipe, recipes.ClipRecipe):
        from training import clip

        return clip.train(recipe)
    if isinstance(recipe, recipes.EmbedRecipe):
        from training import embed

        return embed.train(recipe)
    if isinstance(recipe, recipes.RankRecipe):
        from training import rank

        return rank.train(recipe)
    from training import adapters

    return adapters.train(recipe)


def _tokenizer(recipe: TokenizerRecipe) -> Path:
    from training import tokenizer

    folder = RUNS / recipe.name / "model"
    built = tokenizer.build(recipe.vocabulary, recipe.dialogues)
    tokenizer.save_processor(built, folder, recipe.max_tokens)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    print(run(parser.parse_args().recipe))


if __name__ == "__main__":
    main()
