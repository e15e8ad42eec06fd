"""Pairs and judgements: a right fragment tells all that is asked, a wrong one does not."""

import random

import torch

from colloquy.protocols.lamra import Picture
from training.data import judgements, lamra, pairs
from training.data.pairs import Pair, Query
from training.data.world import facets
from training.data.world.pictures import PictureSpec


def test_a_fragment_tells_what_its_query_asks() -> None:
    for pair in pairs.batch(random.Random(1), 60, pictures=0.3):
        assert facets.satisfies(pair.told.facets, pair.query.facets)


def test_clashes_are_other_fragments_that_answer() -> None:
    batch = pairs.batch(random.Random(2), 40)
    clash = pairs.clashes([*batch, batch[0]])
    assert clash[0, 40]
    assert clash[40, 0]
    assert not clash.diagonal().any()


def test_pairs_are_divided_so_that_fragments_in_a_batch_are_alike() -> None:
    pool = pairs.batch(random.Random(4), 120)

    def nearly_right(batch: list[Pair]) -> int:
        """Wrong fragments that tell all but one of the facts that a query of the batch asks."""
        clash = pairs.clashes(batch)
        return sum(
            len(one.query.facets) > 1
            and not clash[row, column]
            and sum(batch[column].told.facets.get(k) != v for k, v in one.query.facets.items()) == 1
            for row, one in enumerate(batch)
            for column in range(len(batch))
            if row != column
        )

    batches = pairs.alike(pool, 24, random.Random(5))
    assert [len(batch) for batch in batches] == [24] * 5
    assert sorted(map(id, pool)) == sorted(id(pair) for batch in batches for pair in batch)
    drawn = [pool[start : start + 24] for start in range(0, 120, 24)]
    assert sum(map(nearly_right, batches)) > 1.3 * sum(map(nearly_right, drawn))
    assert [len(batch) for batch in pairs.alike(pool[:7], 5, random.Random(5))] == [5, 2]


def test_contrast_is_low_for_the_right_order_and_blind_to_clashes() -> None:
    near = torch.eye(3)
    free = torch.zeros(3, 3, dtype=torch.bool)
    assert pairs.contrast(near, near, free, 0.05) < 1e-6
    assert pairs.contrast(near, near.roll(1, 0), free, 0.05) > 10
    twins = near[[0, 0, 2]]
    clash = torch.tensor([[False, True, False], [True, False, False], [False] * 3])
    assert pairs.contrast(twins, twins, clash, 0.05) < 1e-6


def test_wrong_candidates_of_a_judgement_are_wrong_and_mostly_near() -> None:
    rng = random.Random(3)
    drawn = [judgements.make_judgement(rng, 4) for _ in range(30)]
    assert all(len(judgement.wrong) == 4 for judgement in drawn)
    assert all(judgement.right not in judgement.wrong for judgement in drawn)


def test_a_query_picture_stands_before_its_instruction() -> None:
    content = lamra.query_content(Query("the purchase", {}, PictureSpec("cat", "blue", 1)))
    assert content[0] == Picture("cat-blue-1-1-plain-large-middle--")
    example = lamra.embedding(content)
    assert example.user.startswith("<image>Find the part")
    assert example.pictures == (PictureSpec("cat", "blue", 1),)
