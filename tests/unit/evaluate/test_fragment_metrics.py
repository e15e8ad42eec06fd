from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate.fragment_metrics import (
    Chosen,
    Counts,
    Judged,
    Report,
    emptiness,
    harmonic,
    macro,
    micro,
)

TURNS, IMAGES = 10, 4
IDS = st.frozensets(st.integers(0, TURNS - 1))
CHOSEN = st.builds(Chosen, IDS, st.frozensets(st.integers(0, IMAGES - 1)))
ANY_ID = st.one_of(st.integers(-3, 40), st.text(max_size=2), st.floats(), st.booleans())
WILD = st.builds(Chosen, st.none() | st.frozensets(ANY_ID), st.none() | st.frozensets(ANY_ID))


def judged(gold: tuple[list[int], list[int]], predicted: tuple[list[int], list[int]]) -> Judged:
    return Judged.over(Chosen.of(*gold), Chosen.of(*predicted), turns=TURNS, images=IMAGES)


PUBLISHED = [
    judged(([1, 2, 3], [0]), ([1, 2, 3], [0])),
    judged(([1, 2, 3], [0]), ([2, 3, 4], [1])),
    judged(([], []), ([], [])),
    judged(([5], []), ([5, 6], [])),
]
JUDGED = st.lists(
    st.builds(lambda g, p: Judged.over(g, p, turns=TURNS, images=IMAGES), CHOSEN, CHOSEN),
    max_size=8,
)
WILD_JUDGED = st.lists(st.builds(Judged, WILD, WILD, st.integers(0, 20), st.integers(0, 20)))


def values(report: Report) -> list[float]:
    return [value for part in astuple(report) for value in part]


def test_the_micro_numbers_are_those_that_the_released_script_gave() -> None:
    report = micro(PUBLISHED).rounded()

    assert report["utterance"] == {"precision": 0.75, "recall": 0.8571, "f1": 0.8, "mcc": 0.7566}
    assert report["image"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "mcc": 0.4286}
    assert report["joint"] == {"precision": 0.6, "recall": 0.6316, "f1": 0.65, "mcc": 0.5926}


def test_the_macro_form_gives_a_query_without_gold_one_or_nothing() -> None:
    right = macro([judged(([], []), ([], []))])
    wrong = macro([judged(([], []), ([1], []))])

    assert (right.utterance.f1, right.joint.f1) == (1.0, 1.0)
    assert (wrong.utterance.f1, wrong.image.f1, wrong.joint.f1) == (0.0, 1.0, 0.5)


def test_empty_answers_are_counted_apart() -> None:
    report = emptiness(
        [
            judged(([], []), ([], [])),
            judged(([], []), ([1], [])),
            judged(([1], []), ([], [])),
            judged(([1], []), ([2], [])),
            judged(([1], []), ([1], [])),
        ]
    )

    assert (report.without_gold, report.right_when_empty) == (2, 0.5)
    assert (report.with_gold, report.false_empty) == (3, pytest.approx(1 / 3))


def test_a_share_of_no_queries_is_nothing_and_not_zero() -> None:
    assert emptiness([]).right_when_empty is None
    assert emptiness([]).false_empty is None


def test_an_id_that_does_not_exist_is_a_false_positive_and_adds_no_negative() -> None:
    counts = Counts.of(frozenset({1}), frozenset({1, 99}), max_id=3)

    assert counts == Counts(tp=1, fp=1, fn=0, tn=3)


def test_a_dialogue_without_pictures_is_taken_to_have_the_default_universe() -> None:
    entry = Judged.over(Chosen.of(), Chosen.of(), turns=3, images=0)

    assert (entry.max_utterance_id, entry.max_image_id) == (2, 20)


def test_what_is_no_set_leaves_out_its_modality_and_the_next() -> None:
    good = judged(([1], [0]), ([1], [0]))
    no_images = Judged(Chosen.of([1], [0]), Chosen(frozenset({2}), None))
    no_utterances = Judged(Chosen.of([1], [0]), Chosen(None, frozenset({3})))

    report = micro([good, no_images, no_utterances])

    assert report.utterance.precision == 0.5
    assert report.image.precision == 1.0


@given(JUDGED, st.randoms(use_true_random=False))
def test_the_order_of_queries_changes_no_micro_number(entries, random) -> None:
    shuffled = random.sample(entries, len(entries))

    assert micro(entries) == micro(shuffled)
    assert values(macro(entries)) == pytest.approx(values(macro(shuffled)))


@given(JUDGED)
def test_gold_and_prediction_may_change_places_for_f1_and_mcc(entries) -> None:
    swapped = [Judged(e.predicted, e.gold, e.max_utterance_id, e.max_image_id) for e in entries]
    one, other = micro(entries), micro(swapped)

    assert one.joint.f1 == pytest.approx(other.joint.f1)
    assert one.joint.mcc == pytest.approx(other.joint.mcc)
    assert one.utterance.precision == other.utterance.recall


@given(WILD_JUDGED)
def test_numbers_stay_in_their_bounds_whatever_a_model_wrote(entries) -> None:
    for report in (micro(entries), macro(entries)):
        for part in (report.utterance, report.image, report.joint):
            assert 0 <= part.precision <= 1
            assert 0 <= part.recall <= 1
            assert 0 <= part.f1 <= 1
            assert -1 - 1e-9 <= part.mcc <= 1 + 1e-9


@given(st.lists(CHOSEN.filter(lambda c: bool(c.utterances and c.images)), min_size=1))
def test_a_right_answer_scores_one(golds) -> None:
    entries = [Judged.over(gold, gold, turns=TURNS, images=IMAGES) for gold in golds]

    assert values(macro(entries))[:3] == [1.0, 1.0, 1.0]
    assert micro(entries).joint.f1 == 1.0


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_harmonic_mean_lies_between_its_two(one, other) -> None:
    assert min(one, other) - 1e-12 <= harmonic(one, other) <= max(one, other) + 1e-12
