"""One right record of each published format, and a way to spoil it."""

import copy
from collections.abc import Mapping
from typing import Any

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.protocols import f2rvlm

TURNS = [
    Utterance(id=0, speaker="User1", content="look at this"),
    Utterance(id=1, speaker="User2", content=[ImagePart.of("a.png")]),
    Utterance(id=2, speaker="User1", content=[TextPart(text="and this"), ImagePart.of("b.png")]),
]
_FRAGMENT = f2rvlm.render_fragment(TURNS, "what is shown")
_SPLIT = f2rvlm.render_split(TURNS)


def _messages(system: str, user: str, answer: str) -> list[dict[str, str]]:
    roles = zip(("system", "user", "assistant"), (system, user, answer), strict=True)
    return [{"role": role, "content": content} for role, content in roles]


RIGHT: dict[str, dict[str, Any]] = {
    "swift": {
        "messages": _messages(
            _FRAGMENT.system, _FRAGMENT.user, f2rvlm.format_answer([1, 2], [0, 1])
        ),
        "images": ["a.png", "b.png"],
        "dialogue_id": "4503313089_1_1",
        "solution": f2rvlm.format_answer([1, 2], [0, 1]),
    },
    "split": {
        "messages": _messages(_SPLIT.system, _SPLIT.user, f2rvlm.format_split([[0, 1], [2]])),
        "images": [{"bytes": None, "path": "a.png"}, {"bytes": None, "path": "b.png"}],
    },
    "mire": {
        "id": "2127e9",
        "instruction": 'Which one?\n<用户: <image>>\n分类标签为：["气泡","发货数量"]\n',
        "input": "",
        "output": "气泡",
        "image": ["a.png"],
    },
    "mbeir-query": {
        "qid": "9:1",
        "query_txt": "a cat",
        "query_img_path": None,
        "query_modality": "text",
        "query_src_content": None,
        "pos_cand_list": ["9:2"],
        "neg_cand_list": ["9:3"],
        "task_id": 0,
    },
    "mbeir-candidate": {
        "did": "9:2",
        "txt": "a cat on a mat",
        "img_path": "a.png",
        "modality": "image,text",
        "src_content": None,
    },
    "surf": {
        "id": "1",
        "image": "t.png",
        "conversations": [
            {
                "from": "human",
                "value": "<Retrieval>1. <image> a cat\n2. <image> a dog\n</Retrieval> <image>\nQ?",
            },
            {"from": "gpt", "value": "A."},
        ],
        "images": ["a.png", "b.png"],
        "labels": [1, 0],
    },
    "imageref": {
        "id": 7,
        "image": ["a.png", "https://pictures.example/b.png"],
        "conversations": [
            {"from": "human", "value": "News. IMAGE_1: <image> More. IMAGE_2: <image>"},
            {"from": "gpt", "value": "# Title\n![a cat](IMAGE_2)\n\nIMAGE_1"},
        ],
    },
    "llava": {
        "id": "000",
        "image": "a.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat?"},
            {"from": "gpt", "value": "A cat."},
            {"from": "human", "value": "Sure?"},
            {"from": "gpt", "value": "Yes."},
        ],
    },
    "wechat": {
        "dialogue_id": "d-1",
        "dialogue": [
            {"utterance_idx": 0, "speaker": "User1", "utterance": "hello"},
            {"utterance_idx": 2, "speaker": "User2", "utterance": [{"image_url": "a.png"}]},
        ],
        "query_text": ["a greeting", "a picture"],
        "gt_turns": [[0], [2]],
    },
    "caption": {"image": "a.png", "caption": "a cat"},
}
FORMAT_OF = {name: "swift" if name == "split" else name for name in RIGHT}


def spoilt(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a right record; a change is `{"messages.1.content": value}`, `...` takes away."""
    record = copy.deepcopy(RIGHT[name])
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place: Any = record
        for step in steps:
            place = place[step]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return record
