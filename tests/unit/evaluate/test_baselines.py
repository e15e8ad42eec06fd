import pytest

from training.evaluate import baselines
from training.evaluate.baselines import (
    Bm25TrueCount,
    Threshold,
    TrueTopic,
    Window,
    joint_f1_of,
    tuned,
)
from training.evaluate.cases import of_samples
from training.evaluate.lexical import bm25_scores, smoothed, words


@pytest.fixture(scope="module")
def questions(samples):
    return of_samples(samples)


def test_english_is_lower_cased_and_chinese_is_cut_into_words() -> None:
    assert words("The RED kite, 2 of them!") == ["the", "red", "kite", "2", "of", "them"]
    assert words("我喜欢红色的风筝。") == ["我", "喜欢", "红色", "的", "风筝"]


def test_the_utterance_that_shares_rare_words_scores_best() -> None:
    texts = ("we fly kites", "lunch is at noon", "the lamp broke", "")
    scores = bm25_scores(texts, "When is lunch?")

    assert max(range(4), key=lambda turn: scores[turn]) == 1
    assert scores[3] == 0.0


@pytest.mark.parametrize("texts", [("",), ("", "..."), ("!",)])
def test_a_dialogue_of_pictures_alone_scores_nothing(texts) -> None:
    assert bm25_scores(texts, "anything") == (0.0,) * len(texts)


def test_smoothing_lends_to_neighbours_and_a_reach_of_none_changes_nothing() -> None:
    assert smoothed((0.0, 2.0, 0.0, 0.0), 0) == (0.0, 2.0, 0.0, 0.0)
    assert smoothed((0.0, 2.0, 0.0, 0.0), 1) == (1.0, 2.0, 1.0, 0.0)


def test_the_true_count_predicts_as_many_turns_as_the_gold(questions) -> None:
    for question in questions:
        found = Bm25TrueCount().predict(question)
        assert len(found.utterances) == len(question.query.utterance_ids)


def test_a_picture_is_predicted_exactly_when_its_turn_is(questions) -> None:
    for baseline in (Bm25TrueCount(), Window(0.2, 0.7), TrueTopic("longest")):
        for question in questions:
            found = baseline.predict(question)
            owners = [n for n, t in enumerate(question.case.world.turns) if t.picture]
            shown = {i for i, owner in enumerate(owners) if owner in found.utterances}
            assert found.images == shown


def test_the_whole_window_is_everything_and_a_threshold_too_high_is_nothing(questions) -> None:
    turns = len(questions[0].case.world.turns)

    assert len(Window(0.0, 1.0).predict(questions[0]).utterances) == turns
    assert Threshold(1e9, False, 0).predict(questions[0]).empty


def test_what_is_tuned_is_the_best_of_its_kind_where_it_was_tuned(questions) -> None:
    plain, _, smooth, window, topic = tuned(questions)

    rivals = [Window(0.0, 1.0), Window(0.0, 0.5), Window(0.3, 0.9)]
    assert all(joint_f1_of(window, questions) >= joint_f1_of(r, questions) for r in rivals)
    assert (plain.name, smooth.name) == (
        "BM25, tuned threshold",
        "BM25, tuned threshold, smoothed",
    )
    assert isinstance(topic, TrueTopic)


def test_tuning_twice_gives_the_same(questions) -> None:
    assert tuned(questions) == tuned(questions)


def test_every_baseline_has_a_name_of_its_own(questions) -> None:
    names = [baseline.name for baseline in baselines.tuned(questions)]

    assert len(set(names)) == len(names)
