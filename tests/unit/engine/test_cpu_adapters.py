import pytest
import torch

from colloquy.engine.cpu_adapters import bgmv_expand, bgmv_expand_slice, bgmv_shrink

SLOTS, RANK, WIDTH, OUT = 3, 4, 6, 10
MIXED = [0, -1, 2, 0, 1, -1, 2]


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def told(inputs: torch.Tensor, weights: torch.Tensor, slots: list[int]) -> torch.Tensor:
    """Token by token, as the papers write it; nothing where there is no adapter."""
    rows = [
        weights[slot, 0] @ row if slot >= 0 else torch.zeros(weights.shape[2])
        for row, slot in zip(inputs, slots, strict=True)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("slots", [MIXED, [1] * 7, [-1] * 7, [2], [-1]])
def test_each_token_meets_its_own_adapter_and_none_where_it_has_none(slots: list[int]) -> None:
    shrink = torch.randn(SLOTS, 1, RANK, WIDTH)
    expand = torch.randn(SLOTS, 1, OUT, RANK)
    tokens = torch.randn(len(slots), WIDTH)
    numbers = torch.tensor(slots)

    small = torch.full((len(slots), RANK), 9.0)  # what stood there is replaced
    bgmv_shrink(tokens, shrink, small, numbers, 0.5)
    torch.testing.assert_close(small, 0.5 * told(tokens, shrink, slots))

    model = torch.randn(len(slots), OUT)
    output = model.clone()
    bgmv_expand(small, expand, output, numbers)
    torch.testing.assert_close(output, model + told(small, expand, slots))


def test_a_slice_is_all_that_changes() -> None:
    expand = torch.randn(SLOTS, 1, 4, RANK)
    small = torch.randn(len(MIXED), RANK)
    model = torch.randn(len(MIXED), OUT)
    output = model.clone()

    bgmv_expand_slice(small, expand, output, torch.tensor(MIXED), 3, 4)

    torch.testing.assert_close(output[:, 3:7], model[:, 3:7] + told(small, expand, MIXED))
    assert output[:, :3].equal(model[:, :3])
    assert output[:, 7:].equal(model[:, 7:])


def test_an_adapter_padded_less_than_the_model_fills_what_it_has() -> None:
    expand = torch.randn(SLOTS, 1, OUT - 2, RANK)
    small = torch.randn(1, RANK)
    output = torch.zeros(1, OUT)
    bgmv_expand(small, expand, output, torch.tensor([1]), add_inputs=False)
    torch.testing.assert_close(output[:, : OUT - 2], told(small, expand, [1]))
    assert not output[:, OUT - 2 :].any()
