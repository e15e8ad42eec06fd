"""SURf's records: a question about a picture behind retrieved pictures with captions."""

from collections.abc import Iterator
from typing import Any, Literal

from training.data.world.facts import Split
from training.data.world.questions import PictureQuestion, Reference, make_question
from training.data.world.screenshots import Save

# As LLaVA's data ask for a short answer; SURf labels those by a match of the words.
_SHORT = {
    "en": "Answer the question using a single word or phrase.",
    "zh": "请用一个词或短语回答。",
}
Form = Literal["training", "inference"]
"""How the published README writes a training prompt, and how the published evaluation does."""


def prompt(captions: list[str], question: str, form: Form) -> str:
    """The published prompt; each `<image>` stands for a retrieved picture, the last for its own."""
    if form == "inference":
        lines = "".join(f"{n}. <image> {caption}\n" for n, caption in enumerate(captions, 1))
        return f"<Retrieval> {lines} </Retrieval>\n<image> {question}"
    lines = "".join(f"{n}. <image> {caption} \n" for n, caption in enumerate(captions, 1))
    return f"<Retrieval>{lines}</Retrieval> <image>\n{question}"


def record(
    question: PictureQuestion, name: str, save: Save, form: Form = "training"
) -> dict[str, Any]:
    """The published training record.

    Of the retrieved, the nearest that helps and the nearest that misleads are kept, always in this
    order, as upstream does; `labels` are [1, 0].

    Args:
        name: of the record, and the beginning of its pictures' names.
    """
    kept = (question.nearest(helps=True), question.nearest(helps=False))
    text = f"{question.text}\n{_SHORT[question.language]}"
    return {
        "id": name,
        "image": save(name, question.picture),
        "conversations": [
            {"from": "human", "value": prompt([one.caption for one in kept], text, form)},
            {"from": "gpt", "value": question.answer},
        ],
        "images": [_saved(question, one, name, save) for one in kept],
        "labels": [int(one.helps) for one in kept],
    }


def captions(question: PictureQuestion, name: str, save: Save) -> Iterator[dict[str, str]]:
    """Yields every retrieved picture as a line of the index."""
    for one in question.references:
        yield {"image": _saved(question, one, name, save), "caption": one.caption}


def records(
    seed: int, split: Split, count: int, save: Save, form: Form = "training"
) -> Iterator[tuple[dict[str, Any], list[dict[str, str]]]]:
    """Yields training records, each with its part of the index."""
    for number in range(count):
        question = make_question(seed, split, number)
        name = f"{split}-{number}"
        index = list(captions(question, name, save))
        yield record(question, name, save, form), index


def _saved(question: PictureQuestion, one: Reference, name: str, save: Save) -> str:
    return save(f"{name}-{question.references.index(one)}", one.picture)
