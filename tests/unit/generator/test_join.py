from hypothesis import given
from hypothesis import strategies as st

from services.generator.split_dialogue import Join


def joined(lengths: list[int], slice_turns: int) -> list[list[int]]:
    """Splits a dialogue of topics of these lengths through slices, with a model that is right."""
    total = sum(lengths)
    topic_of = [topic for topic, length in enumerate(lengths) for _ in range(length)]
    join, rounds = Join(), 0
    while join.position < total:
        rounds += 1
        assert rounds <= 4 * total
        ids = list(range(join.position, min(total, join.position + slice_turns)))
        groups: dict[int, list[int]] = {}
        for i in ids:
            groups.setdefault(topic_of[i], []).append(i)
        join.add(list(groups.values()), ids, is_last=ids[-1] == total - 1)
    return sorted(join.fragments)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(2, 10))
def test_a_right_model_gives_the_right_topics_however_the_dialogue_is_sliced(
    lengths: list[int], slice_turns: int
) -> None:
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    expected = [
        list(range(start, start + length)) for start, length in zip(starts, lengths, strict=True)
    ]

    assert joined(lengths, slice_turns) == expected


def test_the_last_fragment_of_a_slice_is_decided_anew() -> None:
    join = Join()
    join.add([[0, 1, 2], [3, 4]], [0, 1, 2, 3, 4], is_last=False)
    assert (join.position, join.fragments) == (3, [[0, 1, 2]])

    join.add([[3, 4, 5, 6], [7]], [3, 4, 5, 6, 7], is_last=True)
    assert sorted(join.fragments) == [[0, 1, 2], [3, 4, 5, 6], [7]]


def test_a_topic_that_fills_a_slice_goes_on_in_the_next() -> None:
    join = Join()
    join.add([[0, 1, 2, 3]], [0, 1, 2, 3], is_last=False)
    assert (join.position, join.fragments) == (2, [])

    join.add([[2, 3, 4], [5]], [2, 3, 4, 5], is_last=True)
    assert sorted(join.fragments) == [[0, 1, 2, 3, 4], [5]]


@given(st.data())
def test_whatever_partitions_come_every_turn_is_in_one_fragment(data: st.DataObject) -> None:
    total, slice_turns = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 8))
    join = Join()
    while join.position < total:
        ids = list(range(join.position, min(total, join.position + slice_turns)))
        labels = data.draw(st.lists(st.integers(0, 2), min_size=len(ids), max_size=len(ids)))
        groups: dict[int, list[int]] = {}
        for i, label in zip(ids, labels, strict=True):
            groups.setdefault(label, []).append(i)
        join.add(list(groups.values()), ids, is_last=ids[-1] == total - 1)

    assert sorted(i for fragment in join.fragments for i in fragment) == list(range(total))
