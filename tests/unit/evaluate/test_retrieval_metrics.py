import pytest

from training.data.world.corpus import make_corpus
from training.evaluate.corpus_set import HeldOut
from training.evaluate.retrieval_metrics import (
    first_of,
    first_relevant,
    is_relevant,
    recall_at,
    recall_difference,
    recalls,
)


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut("validation", make_corpus("validation", 12, 6))


@pytest.mark.parametrize(
    ("found", "gold", "half", "alike"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], True, True),
        ([1, 2], [1, 2, 3, 4], True, True),
        ([1], [1, 2, 3], False, False),
        ([1, 2], [1, 2, 3], True, True),
        (range(20), [1, 2, 3, 4], True, False),
        ([2, 3, 5, 6], [1, 2, 3, 4], True, False),
        ([], [1], False, False),
        ([9], [1], False, False),
    ],
)
def test_what_is_relevant(found, gold, half: bool, alike: bool) -> None:
    assert is_relevant(list(found), gold, "half") is half
    assert is_relevant(list(found), gold, "alike") is alike


def test_recall_is_a_rate_of_hits() -> None:
    ranks = [1, 3, None, 20, 21]
    assert recalls(ranks) == {
        "recall@1": 0.2,
        "recall@5": 0.4,
        "recall@10": 0.4,
        "recall@20": 0.6,
    }
    # Two relevant ones are no more than one, as upstream counts.
    assert recall_at([first_of({"a", "b"}, ["a", "b", "c"])], 2) == 1.0


def test_only_a_fragment_of_the_right_dialogue_is_relevant(held_out: HeldOut) -> None:
    query = held_out.queries[0]
    gold = held_out.gold(query)[0]
    right = {
        "dialogue_id": f"validation-{gold.dialogue:05d}",
        "utterance_ids": list(gold.utterance_ids),
    }
    golden = {one.dialogue for one in held_out.gold(query)}
    other = next(number for number in range(12) if number not in golden)
    wrong = right | {"dialogue_id": f"validation-{other:05d}"}
    foreign = right | {"dialogue_id": "somebody-elses"}
    assert first_relevant(held_out, query, [wrong, foreign, right], "half") == 3
    assert first_relevant(held_out, query, [wrong, foreign], "half") is None


def test_a_difference_without_doubt_has_an_interval_above_zero() -> None:
    better, worse = [1] * 90 + [None] * 10, [1] * 40 + [None] * 60
    found = recall_difference(better, worse, list(range(100)), 1)
    assert found.difference == pytest.approx(0.5)
    assert 0.35 < found.low < found.difference < found.high < 0.65


def test_the_difference_of_a_system_with_itself_is_nothing() -> None:
    ranks = [1, None, 3] * 20
    found = recall_difference(ranks, ranks, list(range(60)), 5)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_queries_of_one_cluster_are_drawn_together() -> None:
    better, worse = [1] * 50 + [None] * 50, [None] * 50 + [None] * 50
    alone = recall_difference(better, worse, list(range(100)), 1)
    together = recall_difference(better, worse, [n // 25 for n in range(100)], 1)
    assert together.high - together.low > 2 * (alone.high - alone.low)
