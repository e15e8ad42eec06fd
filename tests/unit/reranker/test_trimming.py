from hypothesis import given
from hypothesis import strategies as st

from services.reranker.trimming import shared_cap


@given(st.lists(st.integers(0, 500), min_size=1, max_size=10), st.integers(0, 3_000))
def test_costs_cut_to_the_cap_fit_and_no_higher_cap_would(costs: list[int], room: int) -> None:
    cap = shared_cap(costs, room)
    assert sum(min(cost, cap) for cost in costs) <= room
    if cap < max(costs):
        assert sum(min(cost, cap + 1) for cost in costs) > room


def test_what_is_short_stays_whole() -> None:
    assert shared_cap([10, 500, 500], 210) == 100
    assert shared_cap([10, 20], 210) == 20
