import json
from pathlib import Path
from typing import Any

import pytest

from colloquy.dialogue_files.forms import NotADialogue, dialogue_of
from colloquy.protocols import f2rvlm

UPSTREAM: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "protocols/fixtures/ffrs.json").read_text(encoding="utf-8")
)
TURN = {"speaker": "a", "content": "b"}


def fault(record: object) -> tuple[str, str]:
    with pytest.raises(NotADialogue) as refusal:
        dialogue_of(record)
    return refusal.value.at, str(refusal.value)


def said(*lines: str, images: object = None, **more: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "对话内容: " + "\n".join(lines)},
        ],
        "images": images,
        "dialogue_id": "d",
        **more,
    }


def line(number: int, text: str) -> str:
    return f"<|utt_id_start|>{number}<|utt_id_end|> user1: {text}"


def test_our_own_form_is_taken_as_it_is() -> None:
    dialogue = dialogue_of({"id": "x", "metadata": {"shop": "kites"}, "utterances": [TURN]})
    assert (dialogue.id, dialogue.metadata) == ("x", {"shop": "kites"})


def test_a_sample_holds_its_dialogue_under_a_key() -> None:
    assert dialogue_of({"title": "t", "dialogue": {"id": "x", "utterances": [TURN]}}).id == "x"


def test_a_dialogue_without_an_id_is_named_by_its_content() -> None:
    one, same = dialogue_of({"utterances": [TURN]}), dialogue_of({"utterances": [dict(TURN)]})
    other = dialogue_of({"utterances": [TURN, TURN]})
    assert one.id == same.id != other.id
    assert one.id is not None
    assert one.id.startswith("d-")


def test_raw_wechat_becomes_the_dialogue_that_upstream_splits() -> None:
    for raw, prompt in zip(UPSTREAM["raw"], UPSTREAM["split_prompts"], strict=True):
        dialogue = dialogue_of(raw)
        written = f2rvlm.render_split(dialogue.utterances)
        assert dialogue.id == prompt["dialogue_id"]
        assert written.user == prompt["messages"][1]["content"]
        assert list(written.images) == prompt["images"]


def test_a_number_that_is_no_position_comes_back_with_its_turn() -> None:
    raw = {"dialogue_id": 7, "dialogue": [{"utterance_idx": 3, "speaker": "u1", "utterance": "a"}]}
    dialogue = dialogue_of(raw)
    assert dialogue.id == "7"
    assert (dialogue.utterances[0].id, dialogue.utterances[0].ref) == (0, "3")
    assert dialogue.utterances[0].speaker == "User1"


@pytest.mark.parametrize("sample", UPSTREAM["predictions"] + UPSTREAM["prompts"])
def test_ms_swift_samples_give_back_the_dialogue_of_their_prompt(sample: dict[str, Any]) -> None:
    dialogue = dialogue_of(sample)
    user = sample["messages"][1]["content"]
    render = f2rvlm.render_split
    if "<|query_start|>" in user:
        prompt = f2rvlm.render_fragment(dialogue.utterances, f2rvlm.parse_query(user))
    else:
        prompt = render(dialogue.utterances)
    assert prompt.user == user
    assert dialogue.images == sample["images"]


def test_pictures_may_be_paths_in_objects() -> None:
    dialogue = dialogue_of(said(line(0, "<image>"), images=[{"bytes": None, "path": "a.jpg"}]))
    assert dialogue.images == ["a.jpg"]


def test_a_slice_keeps_its_numbers_as_references() -> None:
    dialogue = dialogue_of(said(line(100, "a"), line(101, "b")))
    assert [(turn.id, turn.ref) for turn in dialogue.utterances] == [(0, "100"), (1, "101")]


@pytest.mark.parametrize(
    ("record", "at", "why"),
    [
        (3, "", "is not a JSON object"),
        ([], "", "is not a JSON object"),
        ({}, "", "is no dialogue"),
        ({"dialogue": 3}, "", "is no dialogue"),
        ({"utterances": []}, "utterances", "at least 1"),
        (
            {"utterances": [{"speaker": "a", "content": 3}]},
            "utterances/0/content",
            "a string or a list",
        ),
        ({"utterances": [TURN | {"id": 4}]}, "", "0 is expected"),
        ({"utterances": [TURN], "titel": 1}, "titel", "is not a field"),
        (said("nothing"), "messages", "no numbered utterances"),
        (said(line(0, "a"), line(2, "b")), "messages", "utterance 1 is missing"),
        (said(line(0, "a"), line(0, "b")), "messages", "utterance 1 is missing"),
        (said(line(0, "<image>")), "images", "1 `<image>` for 0 images"),
        (said(line(0, "a"), images=["x"]), "images", "0 `<image>` for 1 images"),
        (said(line(0, "a"), images="x"), "images", "is not a list"),
        (said(line(0, "<image>"), images=[{"bytes": 1}]), "images/0", "has no path"),
        ({"messages": "x"}, "messages", "no user message"),
        ({"messages": [{"role": "user", "content": []}]}, "messages", "no user message"),
        ({"dialogue": [3]}, "dialogue/0", "is not an object"),
        ({"dialogue": [{"speaker": 1, "utterance": "a"}]}, "dialogue/0/speaker", "not a name"),
        ({"dialogue": [{"speaker": "a"}]}, "dialogue/0/utterance", "neither a text"),
        ({"dialogue": [{"utterance": []}]}, "dialogue/0/utterance", "neither a text"),
        ({"dialogue": [{"utterance": [{"url": "x"}]}]}, "dialogue/0/utterance/0", "image_url"),
        ({"dialogue": []}, "utterances", "at least 1"),
    ],
)
def test_what_is_no_dialogue_is_refused_with_its_place(record: object, at: str, why: str) -> None:
    found = fault(record)
    assert found[0] == at
    assert why in found[1]
