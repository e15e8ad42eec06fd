"""Comparing begins where least squares end, on every process alike."""

import torch
from torch import Tensor

from tests.unit.training import tiny
from training.matching import SAME_KINDS, Bank, Comparer, common, slow_numbers, spread_codes
from training.values import KINDS, of_the_world


def bank(seed: int) -> tuple[Comparer, Bank]:
    """Words and queries that tell one of three facts of each kind, and words that tell none."""
    model = tiny.model()
    comparer = Comparer(model, of_the_world())
    comparer.prepare()
    random = torch.Generator().manual_seed(seed)
    facts = [own.start + place for own in comparer.values.of_kind for place in range(3)]
    width = int(model.config.text_config.hidden_size)
    looks = torch.randn(2, len(facts), width, generator=torch.Generator().manual_seed(0))

    def drawn(look: Tensor, count: int) -> tuple[Tensor, Tensor]:
        which = torch.randint(0, len(facts), (count,), generator=random)
        states = look[which] + 0.1 * torch.randn(count, width, generator=random)
        tells = torch.zeros(count, len(comparer.values.all), dtype=torch.bool)
        tells[torch.arange(count), torch.tensor(facts)[which]] = True
        return states, tells

    words, tells = drawn(looks[0], 600)
    queries, asks = drawn(looks[1], 300)
    noise = torch.randn(300, width, generator=random)
    nothing = torch.zeros(300, tells.shape[1], dtype=torch.bool)
    return comparer, Bank(torch.cat([words, noise]), torch.cat([tells, nothing]), queries, asks)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@torch.no_grad()
def test_after_the_fit_a_word_looks_for_the_query_that_asks_for_what_it_tells() -> None:
    comparer, seen = bank(1)
    comparer.fit(seen, generator())
    _, fresh = bank(2)
    near = comparer.near_queries(comparer.write(fresh.words), comparer.write(fresh.queries))
    truth = common(fresh.tells, fresh.asks, comparer.values) > 0
    for kind in range(len(KINDS)):
        true, other = near[kind][truth[kind]], near[kind][~truth[kind]]
        assert true.median() > other.quantile(0.95)


@torch.no_grad()
def test_before_the_fit_nothing_is_compared() -> None:
    comparer, seen = bank(1)
    near = comparer.near_queries(comparer.write(seen.words), comparer.write(seen.queries))
    assert near.abs().max() == 0


def test_heads_compare_only_what_hardly_turns() -> None:
    comparer, seen = bank(1)
    comparer.fit(seen, generator())
    size = comparer.match_query.weight.shape[0]
    slow = slow_numbers(comparer.head)
    own = [row for row in range(size) if row % comparer.head in slow]
    turning = [row for row in range(size) if row % comparer.head not in slow]
    for linear in (comparer.match_query, comparer.match_key):
        assert not linear.weight[turning].any()
        assert linear.weight[own].any(1).all()
    for linear in (comparer.same_query, comparer.same_key):
        for head in SAME_KINDS:
            rows = range(head * comparer.head, (head + 1) * comparer.head)
            assert not linear.weight[[row for row in rows if row in turning]].any()
            assert linear.weight[[row for row in rows if row in own]].any(1).all()
    assert not comparer.still.weight.any()


@torch.no_grad()
def test_a_kind_that_nothing_tells_leaves_numbers_that_are_finite() -> None:
    comparer, seen = bank(1)
    seen.tells[:, comparer.values.of_kind[3]] = False
    comparer.fit(seen, generator())
    assert all(weight.isfinite().all() for weight in comparer.parameters())


def test_codes_of_many_facts_are_unlike() -> None:
    codes = spread_codes(90, 24, generator())
    near = codes @ codes.T - torch.eye(90)
    assert torch.allclose(codes.norm(dim=1), torch.ones(90))
    drawn_at_random = torch.nn.functional.normalize(torch.randn(90, 24, generator=generator()))
    before = drawn_at_random @ drawn_at_random.T - torch.eye(90)
    assert near.abs().max() < 0.75 * before.abs().max()
