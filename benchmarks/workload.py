"""What is asked: dialogues of the synthetic world that no training saw."""

import random
from collections.abc import Iterator
from itertools import count

from training.data.world.dialogues import Plan, WorldDialogue, make_dialogue
from training.data.world.queries import make_queries
from training.evaluate.cases import Question, WorldCase

TURNS = 40
QUERIES = 10
MIN_PICTURES = 3


def long_dialogues(name: str) -> Iterator[list[Question]]:
    """Dialogues of 40 turns with pictures, one after the other, with ten queries each.

    Args:
        name: another name, other dialogues: nothing is in a cache from before.
    """
    for dialogue in _dialogues(name, (TURNS, TURNS)):
        yield _questions(dialogue, QUERIES)


def short_dialogues(name: str) -> Iterator[list[Question]]:
    """Dialogues of 8 to 15 turns with at least one picture, with one query each."""
    for dialogue in _dialogues(name, (8, 15), pictures=1):
        yield _questions(dialogue, 1)


def _questions(dialogue: WorldDialogue, queries: int) -> list[Question]:
    case = WorldCase(dialogue)
    rng = random.Random(f"{dialogue.id}/queries")
    return [Question(case, query) for query in make_queries(dialogue, rng, "test", queries)]


def _dialogues(
    name: str, turn_range: tuple[int, int], pictures: int = MIN_PICTURES
) -> Iterator[WorldDialogue]:
    for number in count():
        dialogue = make_dialogue(f"benchmarks/{name}/{number}", "test", plan=Plan(turns=turn_range))
        if len(dialogue.pictures) >= pictures:
            yield dialogue
