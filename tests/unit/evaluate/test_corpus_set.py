import pytest

from colloquy.dialogue_files import Read
from training.data.world.corpus import dialogue_id, make_corpus
from training.evaluate.corpus_set import HeldOut, facts_of
from training.evaluate.fragment_metrics import micro


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut("validation", make_corpus("validation", 12, 8))


def golden(held_out: HeldOut, place: int) -> list[dict]:
    return [
        {
            "dialogue_id": dialogue_id("validation", one.dialogue),
            "utterance_ids": list(one.utterance_ids),
            "image_ids": list(one.image_ids),
        }
        for one in held_out.gold(held_out.queries[place])
    ]


def test_the_gold_itself_scores_one(held_out: HeldOut) -> None:
    judged = [
        held_out.judge(query, golden(held_out, place))
        for place, query in enumerate(held_out.queries)
    ]
    report = micro(judged)
    assert report.utterance.f1 == report.utterance.mcc == 1.0


def test_the_same_ids_of_another_dialogue_are_wrong(held_out: HeldOut) -> None:
    query = held_out.queries[0]
    (first, *_) = golden(held_out, 0)
    used = {one.dialogue for one in held_out.gold(query)}
    other = next(number for number in range(12) if number not in used)
    for name in (dialogue_id("validation", other), "somebody-elses"):
        judged = held_out.judge(query, [first | {"dialogue_id": name}])
        assert micro([judged]).utterance.precision == 0.0


def test_dialogues_are_those_of_the_corpus_with_pictures_inside(held_out: HeldOut) -> None:
    made = list(held_out.dialogues())
    assert all(isinstance(one, Read) for one in made)
    assert [one.dialogue.id for one in made] == [dialogue_id("validation", n) for n in range(12)]
    for one, source in zip(made, held_out.corpus.dialogues, strict=True):
        assert len(one.dialogue.images) == len(source.pictures)
        assert all(url.startswith("data:image/png;base64,") for url in one.dialogue.images)


def test_another_corpus_has_another_collection(held_out: HeldOut) -> None:
    other = HeldOut("validation", make_corpus("validation", 12, 7))
    assert held_out.collection != other.collection
    assert held_out.collection == HeldOut("validation", held_out.corpus).collection


def test_every_query_has_the_facts_that_results_are_broken_down_by(held_out: HeldOut) -> None:
    assert {tuple(facts_of(query)) for query in held_out.queries} == {
        ("language", "answered by", "gold fragments", "wording")
    }
