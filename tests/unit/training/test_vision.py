"""The tower at once, and as the library runs it."""

import random

import torch

from tests.unit.training import tiny
from training.data.world.facts import held_out
from training.vision import (
    GRID,
    Sight,
    drawn_spec,
    patchify,
    picture_tokens,
    seen_values,
    training_pairs,
)


def test_pictures_at_once_are_seen_as_the_library_sees_them() -> None:
    visual = tiny.model().model.visual
    rng = random.Random(0)
    patches = patchify([drawn_spec(rng, rng.choice(training_pairs())) for _ in range(3)])
    grid = torch.tensor([[1, GRID, GRID]]).expand(3, 3)
    with torch.no_grad():
        ours = picture_tokens(visual, patches)
        theirs = visual(patches.flatten(0, 1), grid_thw=grid).pooler_output.view_as(ours)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_every_token_is_asked_for_every_facet() -> None:
    sight = Sight(tiny.model().model.visual, tiny.SHAPE.width)
    patches = patchify([drawn_spec(random.Random(1), ("cat", "blue"))])
    features, logits = sight(patches)
    assert {name: one.shape[1:] for name, one in logits.items()} == {
        name: (features.shape[1], len(values)) for name, values in seen_values().items()
    }


def test_training_shows_no_held_out_pair_not_even_beside() -> None:
    rng = random.Random(2)
    for _ in range(300):
        spec = drawn_spec(rng, rng.choice(training_pairs()))
        assert not held_out(spec.item, spec.colour)
        assert spec.beside is None or not held_out(*spec.beside)
