from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from colloquy.contracts.content import Dialogue, ImagePart, TextPart, Utterance

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


def _turn(**fields: Any) -> dict[str, Any]:
    return {"speaker": "a", "content": "x", **fields}


def _faults(turns: Any, **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refusal:
        Dialogue.model_validate({"utterances": turns, **fields})
    return [("/".join(map(str, e["loc"])), e["msg"]) for e in refusal.value.errors()]


@pytest.mark.parametrize(
    "turns",
    [
        [_turn(), _turn(), _turn()],
        [_turn(id=0), _turn(id=1), _turn(id=2)],
        [_turn(id=None), _turn(id=1), _turn()],
        [Utterance(speaker="a", content="x"), Utterance(speaker="a", content="x"), _turn(id=2)],
    ],
)
def test_turns_are_numbered_by_position(turns: list[Any]) -> None:
    assert [turn.id for turn in Dialogue(utterances=turns).utterances] == [0, 1, 2]


@pytest.mark.parametrize(
    ("ids", "place", "sent"),
    [
        ([1], 0, "1"),
        ([0, 0], 1, "0"),
        ([0, 2], 1, "2"),
        ([-1], 0, "-1"),
        ([0, -5], 1, "-5"),
        ([10**400], 0, "a number far outside the dialogue"),
    ],
)
def test_an_id_that_repeats_or_skips_is_named_with_its_place(
    ids: list[int], place: int, sent: str
) -> None:
    [(at, why)] = _faults([_turn(id=number) for number in ids])
    assert at == ""
    assert f"utterances/{place}/id is {sent}, but ids run from 0" in why
    assert f"so {place} is expected" in why


@pytest.mark.parametrize("wrong", ["0", True, False, 0.0, 0.5, [0], {"a": 1}])
def test_an_id_is_a_whole_number_and_nothing_like_one(wrong: Any) -> None:
    [(at, why)] = _faults([_turn(), _turn(id=wrong)])
    assert at == "utterances/1/id"
    assert why == "Input should be a valid integer"


def test_an_utterance_that_carries_another_id_is_refused() -> None:
    [(_, why)] = _faults([Utterance(id=3, speaker="a", content="x")])
    assert "utterances/0/id is 3" in why


@pytest.mark.parametrize(
    ("turn", "at"),
    [
        (5, "utterances/0"),
        (None, "utterances/0"),
        (_turn(extra=1), "utterances/0/extra"),
        (_turn(speaker=""), "utterances/0/speaker"),
        (_turn(speaker="a" * 65), "utterances/0/speaker"),
        (_turn(content=5), "utterances/0/content"),
        (_turn(content=None), "utterances/0/content"),
        (_turn(content=[]), "utterances/0/content/parts"),
        (_turn(content=[{"type": "text"}]), "utterances/0/content/parts/0/text/text"),
        (_turn(content=[{"type": "sound"}]), "utterances/0/content/parts/0"),
        (_turn(content=[{"text": "x"}]), "utterances/0/content/parts/0"),
        (_turn(content=["x"]), "utterances/0/content/parts/0"),
        (_turn(content="x" * 100_001), "utterances/0/content/text"),
        (_turn(content=[{"type": "text", "text": "x"}] * 65), "utterances/0/content/parts"),
        (_turn(content="\ud800"), "utterances/0/content/text"),
        (_turn(time="yesterday"), "utterances/0/time"),
    ],
)
def test_each_fault_names_one_place(turn: Any, at: str) -> None:
    assert [place for place, _ in _faults([turn])] == [at]


def test_a_dialogue_has_turns_and_not_too_many() -> None:
    assert _faults([])[0][0] == "utterances"
    assert _faults([_turn()] * 5_001)[0][0] == "utterances"
    assert _faults("hello")[0][0] == "utterances"


@pytest.mark.parametrize(
    "metadata", [{"a": float("nan")}, {"a": float("inf")}, {"a": None}, {"a": "x" * 4_097}]
)
def test_metadata_that_json_cannot_say_or_nobody_can_read_is_refused(metadata: Any) -> None:
    assert all(at.startswith("metadata/a") for at, _ in _faults([_turn()], metadata=metadata))


def test_metadata_keeps_the_kind_of_each_value() -> None:
    given_values = {"a": True, "b": 1, "c": 1.5, "d": "1"}
    kept = Dialogue.model_validate({"utterances": [_turn()], "metadata": given_values}).metadata
    assert [(k, type(v)) for k, v in kept.items()] == [
        *[("a", bool), ("b", int), ("c", float), ("d", str)]
    ]


def test_pictures_are_numbered_through_the_dialogue() -> None:
    dialogue = Dialogue(
        utterances=[
            Utterance(speaker="a", content=[ImagePart.of("u0"), TextPart(text="x")]),
            Utterance(speaker="b", content="y"),
            Utterance(speaker="a", content=[ImagePart.of("u1"), ImagePart.of("u0")]),
        ]
    )
    assert dialogue.images == ["u0", "u1", "u0"]
    assert dialogue.image_owners() == [0, 2, 2]
    assert list(dialogue.texts()) == ["x", "y"]


@given(JSON)
def test_any_json_is_a_dialogue_or_refused(data: Any) -> None:
    for body in (
        data,
        {"utterances": data},
        {"utterances": [data]},
        {"utterances": [_turn(id=data)]},
    ):
        try:
            dialogue = Dialogue.model_validate(body)
        except ValidationError:
            continue
        assert [turn.id for turn in dialogue.utterances] == list(range(len(dialogue.utterances)))


def test_what_was_read_is_written_the_same_way() -> None:
    said = {"utterances": [_turn(id=0), _turn(id=1, content=[{"type": "text", "text": "x"}])]}
    written = Dialogue.model_validate(said).model_dump(exclude_defaults=True)
    assert written["utterances"][0]["content"] == "x"
    assert written["utterances"][1]["content"] == [{"text": "x"}]
    assert Dialogue.model_validate_json(Dialogue.model_validate(said).model_dump_json())
