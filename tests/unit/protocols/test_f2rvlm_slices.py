import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.protocols import f2rvlm
from colloquy.protocols.f2rvlm import Answer, merge_answers, slice_turns

PICTURES = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def _turns(pictures: list[int]) -> list[Utterance]:
    return [
        Utterance(
            id=position,
            speaker="a",
            content=[
                TextPart(text="x"),
                *(ImagePart.of(f"b:{position}:{k}") for k in range(count)),
            ],
        )
        for position, count in enumerate(pictures)
    ]


@given(pictures=PICTURES, max_turns=st.integers(1, 20), data=st.data())
def test_slices_cover_the_dialogue_in_order_and_overlap_as_told(
    pictures: list[int], max_turns: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, max_turns - 1))
    turns = _turns(pictures)
    slices = slice_turns(turns, max_turns=max_turns, overlap_turns=overlap)

    assert all(1 <= len(part.turns) <= max_turns for part in slices)
    assert sorted({i for part in slices for i in part.utterance_ids}) == list(range(len(turns)))
    for earlier, later in itertools.pairwise(slices):
        assert (
            earlier.utterance_ids[len(earlier.turns) - overlap :] == (later.utterance_ids[:overlap])
        )
    assert (len(slices) == 1) == (len(turns) <= max_turns)


@given(pictures=PICTURES, max_turns=st.integers(1, 20), data=st.data())
def test_answers_over_slices_come_back_in_the_ids_of_the_dialogue(
    pictures: list[int], max_turns: int, data: st.DataObject
) -> None:
    turns = _turns(pictures)
    all_images = [url for turn in turns for url in turn.images]
    wanted = data.draw(st.sets(st.sampled_from(range(len(turns)))))
    shown = data.draw(st.sets(st.sampled_from(range(len(all_images))))) if all_images else set()
    overlap = data.draw(st.integers(0, max_turns - 1))

    answers = []
    for part in slice_turns(turns, max_turns=max_turns, overlap_turns=overlap):
        prompt = f2rvlm.render_fragment(part.turns, "q")
        local = [i for i, url in enumerate(prompt.images) if all_images.index(url) in shown]
        said = [i for i in part.utterance_ids if i in wanted]
        answers.append((part, Answer(tuple(said), tuple(local))))

    assert merge_answers(answers) == Answer(tuple(sorted(wanted)), tuple(sorted(shown)))


@given(
    pictures=PICTURES,
    utterances=st.lists(st.integers(-5, 99)),
    images=st.lists(st.integers(-5, 99)),
)
def test_ids_that_a_slice_does_not_have_drop_out(
    pictures: list[int], utterances: list[int], images: list[int]
) -> None:
    turns = _turns(pictures)
    slices = slice_turns(turns, max_turns=7, overlap_turns=2)
    merged = merge_answers([(part, Answer(tuple(utterances), tuple(images))) for part in slices])

    assert set(merged.utterance_ids) <= set(range(len(turns))) & set(utterances)
    assert set(merged.image_ids) <= set(range(sum(pictures)))
    assert list(merged.utterance_ids) == sorted(set(merged.utterance_ids))
    assert list(merged.image_ids) == sorted(set(merged.image_ids))


@pytest.mark.parametrize(("max_turns", "overlap"), [(0, 0), (5, 5), (5, 9), (5, -1)])
def test_an_overlap_that_would_never_advance_is_refused(max_turns: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="shorter than a slice"):
        slice_turns(_turns([0]), max_turns=max_turns, overlap_turns=overlap)


def test_a_dialogue_of_the_published_length_is_one_slice() -> None:
    assert len(slice_turns(_turns([0] * 100))) == 1
    assert len(slice_turns(_turns([0] * 101))) == 2
