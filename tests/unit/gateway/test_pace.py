"""How long a step is expected to take."""

import pytest

from gateway.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_of_a_step_that_was_never_measured_nothing_is_expected() -> None:
    assert Pace(Clock()).expect_s("refine") == 0.0


def test_a_first_measurement_leaves_room_for_a_slower_one() -> None:
    pace = Pace(Clock())

    pace.note("refine", 1.0)

    assert pace.expect_s("refine") == pytest.approx(2.0)
    assert pace.expect_s("pointwise") == 0.0


def test_a_steady_step_is_expected_to_stay_so() -> None:
    pace = Pace(Clock())

    for _ in range(60):
        pace.note("refine", 1.0)

    assert pace.expect_s("refine") == pytest.approx(1.0, abs=0.01)


def test_an_unsteady_step_is_expected_near_its_slow_end() -> None:
    pace = Pace(Clock())

    for number in range(100):
        pace.note("refine", 0.5 if number % 2 else 1.5)

    assert 1.5 < pace.expect_s("refine") < 2.5


def test_what_was_slow_once_is_forgotten_so_that_it_is_tried_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.note("refine", 60.0)

    clock.now_s = 300.0

    assert pace.expect_s("refine") < 0.2
