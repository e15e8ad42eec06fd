from types import SimpleNamespace

import pytest
import torch

from colloquy.engine.cpu_adapters import FEW_TOKENS, add_lora_linear, groups, remember_groups

SLOTS, RANK, WIDTH = 3, 4, 6
PARTS = (8, 2, 2)
MIXED = [0, -1, 2, 0, 1, -1, 2]


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def expected(
    x: torch.Tensor, a: list[torch.Tensor], b: list[torch.Tensor], slots: list[int]
) -> torch.Tensor:
    """Token by token, as the paper writes it; nothing where there is no adapter."""
    rows = [
        torch.cat([two[slot, 0] @ (one[slot, 0] @ row) for one, two in zip(a, b, strict=True)])
        if slot >= 0
        else torch.zeros(sum(PARTS))
        for row, slot in zip(x, slots, strict=True)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("slots", [MIXED, [1] * 7, [-1] * 7, [2], [-1], MIXED * FEW_TOKENS])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_each_token_meets_its_own_adapter_and_none_where_it_has_none(
    slots: list[int], scale: float
) -> None:
    a = [torch.randn(SLOTS, 1, RANK, WIDTH) for _ in PARTS]
    b = [torch.randn(SLOTS, 1, size, RANK) for size in PARTS]
    x, base = torch.randn(len(slots), WIDTH), torch.randn(len(slots), sum(PARTS))
    output = base.clone()

    wrapper = SimpleNamespace(token_groups=groups(torch.tensor(slots)))
    add_lora_linear(wrapper, output, x, tuple(a), tuple(b), scale, PARTS)

    torch.testing.assert_close(output, base + scale * expected(x, a, b, slots))


@pytest.mark.parametrize("slots", [MIXED, [1] * 7])
def test_bfloat16_stays_bfloat16(slots: list[int]) -> None:
    a = [torch.randn(SLOTS, 1, RANK, WIDTH).bfloat16() for _ in PARTS]
    b = [torch.randn(SLOTS, 1, size, RANK).bfloat16() for size in PARTS]
    x, base = torch.randn(7, WIDTH).bfloat16(), torch.zeros(7, sum(PARTS)).bfloat16()
    output = base.clone()

    wrapper = SimpleNamespace(token_groups=groups(torch.tensor(slots)))
    add_lora_linear(wrapper, output, x, tuple(a), tuple(b), 1.0, PARTS)

    assert output.dtype == torch.bfloat16
    whole = expected(x.float(), [m.float() for m in a], [m.float() for m in b], slots)
    torch.testing.assert_close(output.float(), whole, rtol=0.02, atol=0.1)


def test_groups_are_found_when_the_tokens_change() -> None:
    def update_metadata(self: SimpleNamespace, slots: list[int]) -> None:
        self.token_lora_indices = torch.tensor(slots)

    wrapper = SimpleNamespace()
    remember_groups(update_metadata)(wrapper, [1, 1])
    assert wrapper.token_groups == [(1, None)]
    remember_groups(update_metadata)(wrapper, [-1, -1])
    assert wrapper.token_groups == []
