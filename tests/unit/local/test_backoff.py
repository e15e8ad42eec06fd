from colloquy.local.backoff import Backoff


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(first_s=0.5, longest_s=3.0)
    assert [backoff.failed(after_ready_s=0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_long_good_run_forgets_earlier_failures() -> None:
    backoff = Backoff(first_s=0.5, forget_after_s=60.0)
    for _ in range(4):
        backoff.failed(after_ready_s=1.0)
    assert backoff.failed(after_ready_s=61.0) == 0.5
    assert backoff.failures == 1


def test_no_number_of_failures_overflows() -> None:
    backoff = Backoff(longest_s=15.0)
    assert max(backoff.failed(after_ready_s=0.0) for _ in range(5_000)) == 15.0
