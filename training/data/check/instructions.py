"""MIRE's instructions: an intent or a scene, one label of those that the instruction lists."""

import json
import re

from training.data.check.record import IMAGE, Id, Record, images_for
from training.data.check.report import Identity, Report

_SCENE = "Picture 1: <image>"
_LABELS = re.compile(r'\[\s*"(?:[^"\\]|\\.)*"\s*(?:,\s*"(?:[^"\\]|\\.)*"\s*)*\]')


class Instruction(Record):
    id: Id
    instruction: str
    output: str
    input: str = ""
    image: list[str] | None = None


def check(record: Instruction, report: Report) -> None:
    report.what = "scene" if record.instruction.startswith(_SCENE) else "intent"
    report.needs_text("id", record.id)
    report.needs_text("instruction", record.instruction)
    report.needs_text("output", record.output)
    report.identities.append(Identity("id", "instruction", record.id))
    images = record.image or []
    for number, path in enumerate(images):
        report.image(f"image.{number}", path)
    asked = record.instruction + record.input
    if (places := asked.count(IMAGE)) != len(images):
        report.problem("placeholder", "image", images_for(places, len(images)))
    labels = _labels(record.instruction)
    if labels and record.output.strip() and record.output not in labels:
        report.problem("answer", "output", "is none of the labels that the instruction lists")


def _labels(instruction: str) -> list[str]:
    """The last list of strings in the text; none where there is no such list."""
    found = _LABELS.findall(instruction)
    if not found:
        return []
    try:
        labels: list[str] = json.loads(found[-1])
    except ValueError:
        return []
    return labels
