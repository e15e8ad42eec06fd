"""Greedy answers of a model through transformers, for validation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from transformers.processing_utils import ProcessorMixin

from colloquy.protocols import f2rvlm
from training.data.prompts import Example
from training.data.world.pictures import PictureSpec, draw

MAX_ANSWER_TOKENS = 160


def messages(example: Example) -> list[dict[str, Any]]:
    """The prompt as chat messages, pictures as parts exactly where `<image>` stands."""
    pieces = example.user.split(f2rvlm.IMAGE)
    parts: list[dict[str, Any]] = []
    for number, text in enumerate(pieces):
        if text:
            parts.append({"type": "text", "text": text})
        if number < len(pieces) - 1:
            parts.append({"type": "image"})
    return [
        {"role": "system", "content": [{"type": "text", "text": example.system}]},
        {"role": "user", "content": parts},
    ]


@torch.no_grad()
def answers(
    model: Any,
    processor: ProcessorMixin,
    examples: Sequence[Example],
    rows: int = 30,
    draw_picture: Callable[[PictureSpec], Image.Image] = draw,
) -> list[str]:
    """Answers each example greedily, `rows` at a time, in the order given."""
    was_training = model.training
    model.eval()
    texts = [""] * len(examples)
    order = sorted(range(len(examples)), key=lambda number: len(examples[number].user))
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        prompts = [
            processor.apply_chat_template(
                messages(examples[number]), add_generation_prompt=True, tokenize=False
            )
            for number in chosen
        ]
        pictures = [draw_picture(spec) for number in chosen for spec in examples[number].pictures]
        inputs = processor(  # type: ignore[operator]
            text=prompts,
            images=pictures or None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        out = model.generate(**inputs, max_new_tokens=MAX_ANSWER_TOKENS, do_sample=False)
        new = out[:, inputs["input_ids"].shape[1] :]
        decoded = processor.batch_decode(new, skip_special_tokens=True)
        for number, text in zip(chosen, decoded, strict=True):
            texts[number] = text
    if was_training:
        model.train()
    return texts
