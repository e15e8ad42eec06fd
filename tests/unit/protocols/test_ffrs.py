"""Each step of FFRS by itself, and each place where the released code goes wrong.

`UPSTREAM` in a test is what the released scripts gave for the same input.
"""

from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import Dialogue
from colloquy.protocols import f2rvlm, ffrs
from colloquy.protocols.f2rvlm import Answer
from colloquy.protocols.ffrs import Found, Merged


def turns(*contents: object) -> list:
    return Dialogue.model_validate(
        {"utterances": [{"speaker": "User1", "content": content} for content in contents]}
    ).utterances


def picture(url: str) -> list[dict]:
    return [{"type": "image_url", "image_url": {"url": url}}]


def test_coverage_counts_what_is_missing_invented_and_repeated() -> None:
    counted = ffrs.coverage([[2, 0], [0, 9]], range(4))
    assert (counted.missing, counted.extra, counted.repeated) == ((1, 3), (9,), (0,))
    assert not counted.complete
    assert ffrs.coverage([[0, 1, 1], [2, 3, 7]], range(4)).complete


def test_ids_that_were_split_in_any_order_are_those_of_the_prompts_lines() -> None:
    """Upstream shows the lines in order and translates by the order in which ids were written."""
    UPSTREAM = [2]
    (ids, _) = ffrs.fragment_ids([[2, 0], [1, 3]], range(4))
    assert ids == (0, 2)
    assert ffrs.to_global([0], ids) == [0] != UPSTREAM


def test_an_invented_id_takes_no_line_and_shifts_no_other() -> None:
    """Upstream shows no line for it, but counts it when it translates."""
    UPSTREAM = [9]
    (ids, _) = ffrs.fragment_ids([[0, 9, 1], [2, 3]], range(4))
    assert ids == (0, 1)
    assert ffrs.to_global([1], ids) == [1] != UPSTREAM


def test_a_repeated_id_is_one_line() -> None:
    assert ffrs.fragment_ids([[0, 0, 1]], range(2)) == [(0, 1)]


def test_a_fragment_of_which_nothing_is_left_keeps_its_number() -> None:
    assert ffrs.fragment_ids([[7], [0]], range(1)) == [(), (0,)]


def test_an_id_that_the_prompt_did_not_show_is_not_taken_for_one_of_the_dialogue() -> None:
    """Upstream takes all ids for the dialogue's as soon as one is too large: here the answer about
    the fragment's second line is lost, and its first one taken for an answer that nobody gave."""
    UPSTREAM = [2]
    assert ffrs.to_global([1, 2], [2, 3]) == [3] != UPSTREAM


def test_negative_ids_name_nothing() -> None:
    assert ffrs.to_global([-1, 0], [5, 6]) == [5]


def test_pictures_are_translated_like_utterances() -> None:
    assert ffrs.images_to_global([1, 1, 4, 0], [7, 9]) == [9, 7]


def test_a_picture_brings_the_utterance_that_shows_it() -> None:
    owners = ffrs.picture_owners(turns("a", picture("x") + picture("y"), picture("z")))
    assert owners == [1, 1, 2]
    assert ffrs.with_owners(Answer((2, 0), (1, 2, 5)), owners) == [2, 0, 1]


def test_a_prompt_numbers_utterances_and_pictures_from_zero() -> None:
    dialogue = turns("a", picture("x"), picture("y"), "d")
    prompt = ffrs.candidate_prompt(dialogue[2:], "q")
    assert "<|utt_id_start|>0<|utt_id_end|> user1: <|img_id_start|>0<|img_id_end|>" in prompt.user
    assert prompt.images == ("y",)
    assert [turn.id for turn in dialogue[2:]] == [2, 3]


def test_an_empty_or_broken_utterance_keeps_one_line_so_that_ids_do_not_shift() -> None:
    """Upstream drops blank lines and counts each line of an utterance of several."""
    fragment = turns("", "one\ntwo\x0bthree", "last")
    lines = f2rvlm.parse_lines(ffrs.candidate_prompt(fragment, "q").user)
    assert [(line.id, line.text) for line in lines] == [(0, ""), (1, "one two three"), (2, "last")]


def test_answers_are_joined_by_fragment_and_dialogues_stay_in_order_of_their_first_candidate() -> (
    None
):
    found = [
        Found("b", 1, ()),
        Found("a", 2, (8, 7), (3,)),
        Found("b", 0, (1,)),
        Found("a", 0, (2,), (0,)),
        Found("c", 0, ()),
    ]
    assert ffrs.merge(found) == [
        Merged("b", (1,), (), (0,)),
        Merged("a", (2, 8, 7), (0, 3), (0, 2)),
    ]


def test_a_fragment_that_answers_by_a_picture_alone_is_kept() -> None:
    assert ffrs.merge([Found("a", 0, (), (4,))]) == [Merged("a", (), (4,), (0,))]


def test_what_two_fragments_share_is_given_once() -> None:
    """Upstream gives it twice."""
    merged = ffrs.merge([Found("a", 0, (1, 2)), Found("a", 1, (2, 3)), Found("a", 0, (1, 2))])
    assert merged == [Merged("a", (1, 2, 3), (), (0, 1))]


@given(
    st.lists(st.lists(st.integers(-2, 12), max_size=6), max_size=5),
    st.integers(0, 10),
    st.lists(st.integers(-3, 15), max_size=8),
)
def test_whatever_is_predicted_an_answer_stays_inside_its_fragment(
    groups: list[list[int]], size: int, local: list[int]
) -> None:
    for ids in ffrs.fragment_ids(groups, range(size)):
        answered = ffrs.to_global(local, ids)
        assert set(answered) <= set(ids) <= set(range(size))
        assert len(set(answered)) == len(answered)
