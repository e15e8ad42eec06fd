"""Training files in the published formats: right ones pass, each fault is told with its field."""

import json
from pathlib import Path
from typing import Any

import pytest

from colloquy.protocols.f2rvlm import format_answer
from tests.unit.training.data_samples import FORMAT_OF, RIGHT, spoilt
from training.data.check.checker import Checker
from training.data.check.formats import FORMATS, detected


def problems(path: Path, format: str | None = None) -> list[str]:
    """`field: reason` of each problem; the files of images are left alone."""
    found = Checker(path, format=format, pictures=None).problems()
    return [problem.shown("").split(": ", 1)[1] for problem in found]


def checked(tmp_path: Path, *records: Any, format: str | None = None) -> list[str]:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return problems(path, format)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_record_is_known_by_its_shape_and_passes(name: str, tmp_path: Path) -> None:
    assert detected(RIGHT[name]) == FORMAT_OF[name]
    assert checked(tmp_path, RIGHT[name]) == []


def test_every_format_has_a_sample() -> None:
    assert set(FORMAT_OF.values()) == set(FORMATS)


def prompt(name: str) -> str:
    asked: str = RIGHT[name]["messages"][1]["content"]
    return asked


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("swift", {"images": ["a.png"]}, "images: 2 <image> for 1 image"),
    ("swift", {"images": "a.png"}, "images: must be a list"),
    ("swift", {"images.1": {"bytes": None}}, "images.1: must be a string"),
    ("swift", {"images.1": " "}, "images.1: is empty"),
    ("swift", {"messages": ...}, "looks like none of the formats swift, "),
    ("swift", {"messages": []}, "messages: must have at least 1 items"),
    ("swift", {"messages.1.role": ...}, "messages.1.role: is required"),
    ("swift", {"messages.1.role": "human"}, "messages.1.role: must be 'system', 'user' or"),
    ("swift", {"messages.2.role": "user"}, "messages.2.role: is user, where assistant must follow"),
    ("swift", {"messages.1.role": "system"}, "messages.1.role: a system turn stands first"),
    ("swift", {"messages.0.content": "\n"}, "messages.0.content: is empty"),
    ("swift", {"messages.2.content": "[1, 2]"}, "messages.2.content: is not of the form <|utt_ids"),
    (
        "swift",
        {"messages.2.content": format_answer([1, 9], [0]), "solution": ...},
        "messages.2.content: names utterance 9, which the dialogue does not have",
    ),
    (
        "swift",
        {"messages.2.content": format_answer([1], [2]), "solution": ...},
        "messages.2.content: names picture 2, which the dialogue does not have",
    ),
    (
        "swift",
        {"messages.2.content": format_answer([1, 1], []), "solution": ...},
        "messages.2.content: names utterance 1 more than once",
    ),
    ("swift", {"solution": format_answer([0], [])}, "solution: is another answer than the"),
    ("swift", {"dialogue_id": 3}, "dialogue_id: must be a string"),
    ("split", {"messages.2.content": "[[0, 1]]"}, "messages.2.content: leaves out utterance 2"),
    ("split", {"messages.2.content": "[[0, 1], [2, 3]]"}, "messages.2.content: names utterance 3,"),
    (
        "split",
        {"messages.2.content": "[[0, 1], [1, 2]]"},
        "messages.2.content: names utterance 1 m",
    ),
    ("split", {"messages.2.content": "[[0, 1, 2], []]"}, "messages.2.content: holds an empty frag"),
    ("split", {"messages.2.content": "0-2"}, "messages.2.content: is not of the form [[…], […]]"),
    ("mire", {"image": []}, "image: 1 <image> for 0 images"),
    ("mire", {"output": "其他"}, "output: is none of the labels that the instruction lists"),
    ("mire", {"output": ""}, "output: is empty"),
    ("mire", {"output": ["气泡"]}, "output: must be a string"),
    ("mbeir-query", {"qid": "nine"}, "qid: is not of the form `dataset:number`"),
    ("mbeir-query", {"pos_cand_list": []}, "pos_cand_list: must have at least 1 items"),
    ("mbeir-query", {"query_txt": None}, "query_txt: is empty, and the modality is text"),
    ("mbeir-query", {"query_img_path": "a.png"}, "query_img_path: is there, and the modality is"),
    ("mbeir-query", {"neg_cand_list": ["9:2"]}, "neg_cand_list: 1 of these are right candidates"),
    ("mbeir-query", {"query_modality": "video"}, "query_modality: must be 'text', 'image'"),
    ("mbeir-candidate", {"img_path": None}, "img_path: is empty, and the modality is image,text"),
    ("surf", {"images": ["a.png"]}, "images: 3 <image> for 2 images, the test picture among them"),
    ("surf", {"labels": [1]}, "labels: has 1 labels for 2 retrieved images"),
    ("surf", {"labels": [1, 2]}, "labels.1: must be 0 or 1"),
    (
        "surf",
        {"conversations.1.value": "<Retrieval>1. <image> a </Retrieval>"},
        "conversations.1.value: an answer holds <image> or <Retrieval>",
    ),
    ("imageref", {"conversations.1.value": "IMAGE_3"}, "conversations.1.value: names IMAGE_3 of 2"),
    (
        "imageref",
        {"conversations.1.value": "IMAGE_1 IMAGE_1"},
        "conversations.1.value: names an image twice",
    ),
    (
        "imageref",
        {"conversations.0.value": "IMAGE_2: <image> IMAGE_1: <image>"},
        "conversations.0.value: the images are not marked",
    ),
    ("llava", {"conversations.0.from": "gpt"}, "conversations.0.from: is gpt, where human must"),
    ("llava", {"conversations.3": ...}, "conversations.2.from: no answer of gpt follows"),
    ("llava", {"id": ...}, "id: is required"),
    ("llava", {"conversations": [None, 1]}, "conversations.0: must be an object"),
    ("wechat", {"gt_turns": [[0], [1]]}, "gt_turns.1: names utterance 1, which the dialogue does"),
    ("wechat", {"gt_turns": [[0]]}, "gt_turns: has 1 lists for 2 queries"),
    (
        "wechat",
        {"dialogue.1.utterance_idx": 0},
        "dialogue.1.utterance_idx: 0 does not come after 0",
    ),
    ("wechat", {"dialogue.1.utterance": []}, "dialogue.1.utterance: is empty"),
    ("wechat", {"dialogue.1.utterance": 3}, "dialogue.1.utterance: is neither a text nor a list"),
    ("caption", {"caption": ""}, "caption: is empty"),
    ("caption", {"image": ""}, "image: is empty"),
    *(
        ("swift", {"messages.1.content": prompt("swift").replace(*change)}, said)
        for change, said in {
            ("what is shown", " "): "messages.1.content: the query is empty",
            ("<|query_end|>", ""): "messages.1.content: the query has no `<|query_end|>`",
            (
                ">1<|utt_id_end|>",
                ">3<|utt_id_end|>",
            ): "messages.1.content: utterance 3 stands where",
            ("user2: ", ""): "messages.1.content: a numbered utterance has no `speaker: `",
            ("<|utt_id_start|>", ""): "messages.1.content: the prompt holds no numbered",
            (
                ">0<|img_id_end|>",
                ">1<|img_id_end|>",
            ): "messages.1.content: picture id 1 stands wher",
            ("<|img_id_start|>1<|img_id_end|>", ""): "messages.1.content: 2 <image> have 1 ids",
        }.items()
    ),
    ("swift", {"messages.2": ..., "solution": ...}, "messages.1.role: no answer follows"),
    ("swift", {"messages.2.content": "<image>"}, "messages.2.content: an answer holds <image>"),
    ("mbeir-query", {"pos_cand_list": ["x"]}, "pos_cand_list.0: is not of the form"),
    ("mbeir-query", {"pos_cand_list": ["9:2", "9:2"]}, "pos_cand_list: names a candidate twice"),
    ("mbeir-candidate", {"did": "9"}, "did: is not of the form"),
    ("mbeir-candidate", {"txt": "<image>"}, "txt: holds <image>; the format has no places for it"),
    (
        "surf",
        {"conversations.0.value": "1. <image> 2. <image> <image>"},
        "conversations.0.value: has no <Retrieval>",
    ),
    (
        "surf",
        {"conversations.0.value": "<Retrieval>2. <image>\n1. <image></Retrieval> <image>"},
        "conversations.0.value: the retrieved images are not numbered from 1 to 2",
    ),
    ("wechat", {"gt_turns": [[0, 0], [2]]}, "gt_turns.0: names an utterance twice"),
    ("wechat", {"query_text": ["a", " "]}, "query_text.1: is empty"),
    (
        "wechat",
        {"dialogue.1.utterance": [{"url": "a"}]},
        "dialogue.1.utterance.0.image_url: must be a string",
    ),
]


@pytest.mark.parametrize(("name", "changes", "said"), WRONG)
def test_a_fault_is_told_with_its_field(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    found = checked(tmp_path, spoilt(name, changes))
    assert [line for line in found if line.startswith(said)], found


def test_queries_of_one_dialogue_are_no_duplicates(tmp_path: Path) -> None:
    other = RIGHT["swift"]["messages"][1]["content"].replace("what is shown", "who greets")
    assert checked(tmp_path, RIGHT["swift"], spoilt("swift", {"messages.1.content": other})) == []


def test_the_same_sample_twice_and_another_dialogue_of_one_id_are_told(tmp_path: Path) -> None:
    other = RIGHT["swift"]["messages"][1]["content"].replace("look at this", "look here")
    found = checked(
        tmp_path, RIGHT["swift"], RIGHT["swift"], spoilt("swift", {"messages.1.content": other})
    )
    assert found == [
        "dialogue_id: the same sample stands in line 1",
        "dialogue_id: names another dialogue than in line 1",
    ]


@pytest.mark.parametrize("name", ["mire", "mbeir-query", "mbeir-candidate", "surf", "imageref"])
def test_an_id_that_stands_twice_is_told_with_the_first_line(name: str, tmp_path: Path) -> None:
    found = checked(tmp_path, RIGHT[name], RIGHT[name])
    assert len(found) == 1
    assert found[0].endswith("stands in line 1")


def test_a_record_of_another_format_is_told(tmp_path: Path) -> None:
    found = checked(tmp_path, RIGHT["mire"], RIGHT["caption"])
    assert found == ["looks like caption, in a file of mire"]


def test_a_format_can_be_forced(tmp_path: Path) -> None:
    found = checked(tmp_path, RIGHT["llava"], format="imageref")
    assert found == ["conversations.0.value: the images are not marked `IMAGE_1: <image>` to "
                     "`IMAGE_1: <image>`"]  # fmt: skip
