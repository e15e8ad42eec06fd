"""Scores a fragment adapter through transformers, without a stack or a grammar.

python -m training.evaluate.fragment_offline BASE ADAPTER                 # with its intervals
python -m training.evaluate.fragment_offline BASE ADAPTER --blank pictures
python -m training.evaluate.fragment_offline BASE ADAPTER --blank query

What a model that reads both loses where one of them is blank tells that it reads it.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from peft import PeftModel
from PIL import Image
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from colloquy.protocols import f2rvlm
from training import generate, precision
from training.data import prompts
from training.data.prompts import Example
from training.data.world.facts import Split
from training.data.world.pictures import SIDE_PIXELS, PictureSpec, draw
from training.evaluate import baselines
from training.evaluate.cases import Question, questions
from training.evaluate.comparison import compare
from training.evaluate.fragment_metrics import Chosen

GREY = (128, 128, 128)
NO_QUERY = {"en": "?", "zh": "？"}
AT_ONCE = 60
Blank = str | None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="training.evaluate.fragment_offline", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path, nargs="?", help="without one: the base alone")
    parser.add_argument("--split", choices=get_args(Split)[1:], default="test")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--blank", choices=("pictures", "query"))
    parser.add_argument("--part", default="0/1", help="K/N: every N-th query, from the K-th")
    parser.add_argument("--save", type=Path, help="write the answers; --answers reads them")
    parser.add_argument("--answers", type=Path, nargs="+", help="of all parts, instead of asking")
    chosen = parser.parse_args(argv)
    held_out = questions(chosen.split, chosen.limit)
    if chosen.answers:
        parts = [json.loads(path.read_text(encoding="utf-8")) for path in chosen.answers]
        told = [parts[number % len(parts)][number // len(parts)] for number in range(len(held_out))]
        print(json.dumps(scores(held_out, told), indent=1, ensure_ascii=False))
        return 0
    first, of = map(int, chosen.part.split("/"))
    asked = held_out[first::of]
    told = answers(load(chosen.base, chosen.adapter), asked, blank=chosen.blank)
    if chosen.save:
        chosen.save.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    else:
        print(json.dumps(scores(asked, told), indent=1, ensure_ascii=False))
    return 0


def load(base: Path, adapter: Path | None) -> tuple[Any, Any]:
    """A published model and its processor."""
    processor = AutoProcessor.from_pretrained(base)
    model: Any = Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=precision.dtype())
    if adapter:
        model = PeftModel.from_pretrained(model, adapter)
    return model.eval(), processor


def answers(parts: tuple[Any, Any], asked: Sequence[Question], *, blank: Blank = None) -> list[str]:
    """The model's answers, in order."""
    examples = [_example(question, blank) for question in asked]
    drawn = _grey if blank == "pictures" else draw
    return generate.answers(*parts, examples, rows=AT_ONCE, draw_picture=drawn)


def scores(asked: Sequence[Question], told: Sequence[str]) -> dict[str, Any]:
    """Beside the baselines, with intervals; and the share of answers in the published form."""
    predicted, formed = [], 0
    for text in told:
        try:
            answer = f2rvlm.parse_answer(text)
            formed += 1
        except f2rvlm.Malformed:
            answer = f2rvlm.Answer((), ())
        predicted.append(Chosen.of(answer.utterance_ids, answer.image_ids))
    return {
        "well_formed": round(formed / max(1, len(told)), 4),
        **compare(asked, predicted, baselines.tuned(questions("validation"))),
    }


def _example(question: Question, blank: Blank) -> Example:
    query = question.query
    if blank == "query":
        query = replace(query, text=NO_QUERY[query.language])
    return prompts.fragment_example(question.case.world, query)


def _grey(_: PictureSpec) -> Image.Image:
    return Image.new("RGB", (SIDE_PIXELS, SIDE_PIXELS), GREY)


if __name__ == "__main__":
    raise SystemExit(main())
