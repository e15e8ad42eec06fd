"""Taking a person out of a dialogue."""

from typing import Any

import pytest

from colloquy.contracts.content import Dialogue
from services.indexer.scrub import scrub, scrub_all


def dialogue(*turns: tuple[str, Any], **more: Any) -> Dialogue:
    told = [{"speaker": speaker, "content": content, "ref": "r"} for speaker, content in turns]
    return Dialogue.model_validate({"id": "d", "utterances": told} | more)


def picture(reference: str = "blob:1") -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": reference}}]


def test_nothing_of_a_speaker_is_left_but_the_place() -> None:
    found = scrub(
        dialogue(("Ana", "secret"), ("Ben", "hi"), ("Ana", picture())), {"speaker": "Ana"}
    )

    assert found is not None
    assert (found.utterances, found.images) == (2, 1)
    assert found.dialogue is not None
    dumped = found.dialogue.model_dump_json()
    assert "Ana" not in dumped
    assert "secret" not in dumped
    assert "blob:1" not in dumped
    assert [turn.id for turn in found.dialogue.utterances] == [0, 1, 2]
    assert found.dialogue.utterances[1].content == "hi"
    assert found.dialogue.utterances[0].ref is None


def test_who_is_not_there_leaves_no_change() -> None:
    assert scrub(dialogue(("Ana", "x")), {"speaker": "ana"}) is None


def test_erasing_twice_finds_nothing_the_second_time() -> None:
    once = scrub(dialogue(("erased", "x"), ("Ben", "hi")), {"speaker": "erased"})

    assert once is not None
    assert once.dialogue is not None
    assert scrub(once.dialogue, {"speaker": "erased"}) is None


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ({"n": 7}, True),
        ({"n": 7.0}, True),
        ({"n": 7, "shop": "kites"}, True),
        ({"n": "7"}, False),
        ({"n": True}, False),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"n": 7, "shop": "cakes"}, False),
        ({"missing": 7}, False),
    ],
)
def test_metadata_are_compared_as_json_has_them(wanted: dict[str, Any], goes: bool) -> None:
    told = dialogue(("Ana", "x"), metadata={"n": 7, "shop": "kites", "flag": True})

    found = scrub(told, {"metadata": wanted})

    assert (found is not None and found.dialogue is None) == goes


def test_several_erasures_leave_what_none_of_them_takes() -> None:
    told = dialogue(("Ana", "a"), ("Ben", "b"), ("Cleo", "c"), metadata={"n": 7})

    left = scrub_all(told, [{"speaker": "Ana"}, {"speaker": "Ben"}, {"metadata": {"n": 8}}])

    assert left is not None
    assert [turn.content for turn in left.utterances] == ["", "", "c"]
    assert scrub_all(told, [{"speaker": "Ana"}, {"metadata": {"n": 7}}]) is None
