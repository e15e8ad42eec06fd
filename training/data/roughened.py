"""Words that mean nothing, put into what training reads.

A reader who has only met words that tell something takes every new word to tell something, and
held-out data is full of new words: queries in another wording, lines that training never shows.
"""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from training.data.world.dialogues import Turn, WorldDialogue
from training.data.world.lexicon import Language
from training.data.world.queries import WorldQuery
from training.data.world.splits import Sample

QUERIES, LINES = 0.6, 0.3  # shares that get a word or two
UNREAD = 0.08  # share of the lines that become such words alone
# Most characters are not in the tokenizer and come as bytes, which mean nothing by themselves.
COMMON_HAN = (0x4E00, 0x9FA5)


class Neutral(BaseModel):
    """The words of `neutral.yaml`; English ones are made up of `onsets`, `vowels` and `ends`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: tuple[str, ...]
    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    ends: tuple[str, ...]
    particles: tuple[str, ...]
    characters: str


@cache
def neutral() -> Neutral:
    text = (Path(__file__).parent / "neutral.yaml").read_text(encoding="utf-8")
    return Neutral.model_validate(yaml.safe_load(text))


def sample(drawn: Sample, rng: random.Random) -> Sample:
    """Roughens queries and lines; what is told and asked stays."""
    queries = tuple(query_of(query, rng) for query in drawn.queries)
    return Sample(dialogue_of(drawn.dialogue, rng), queries)


def query_of(query: WorldQuery, rng: random.Random) -> WorldQuery:
    return replace(query, text=text_of(query.text, query.language, rng, QUERIES))


def dialogue_of(dialogue: WorldDialogue, rng: random.Random) -> WorldDialogue:
    """Lines with words that mean nothing, and some that are nothing else.

    Only lines that neither lead their stretch nor show a picture become unreadable: what a query
    asks for is mostly told by others.
    """
    leads = {stretch.start for stretch in dialogue.stretches}
    turns = tuple(
        _turn(turn, dialogue.language, rng, may_vanish=number not in leads)
        for number, turn in enumerate(dialogue.turns)
    )
    return replace(dialogue, turns=turns)


def text_of(text: str, language: Language, rng: random.Random, share: float) -> str:
    """In a share of the cases, one or two words that mean nothing are put into a text."""
    if not text or rng.random() >= share:
        return text
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = _put_in(text, language, rng)
    return text


def _turn(turn: Turn, language: Language, rng: random.Random, *, may_vanish: bool) -> Turn:
    if may_vanish and not turn.picture and rng.random() < UNREAD:
        words = [_word(language, rng) for _ in range(rng.randint(2, 6))]
        return replace(turn, text=(" " if language == "en" else "").join(words))
    return replace(turn, text=text_of(turn.text, language, rng, LINES))


def _put_in(text: str, language: Language, rng: random.Random) -> str:
    word = _word(language, rng)
    if language == "zh":
        return word + text if rng.random() < 0.5 else text + word
    words = text.split(" ")
    words.insert(rng.randint(0, len(words)), word)
    return " ".join(words)


def _word(language: Language, rng: random.Random) -> str:
    """A common word of another kind of talk, or one that does not exist."""
    every = neutral()
    if language == "zh":
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(every.particles)
        length = rng.randint(1, 4)
        if kind < 0.6:
            return "".join(rng.choice(every.characters) for _ in range(length))
        return "".join(chr(rng.randint(*COMMON_HAN)) for _ in range(length))
    if rng.random() < 0.4:
        return rng.choice(every.words)
    parts = (every.onsets, every.vowels, every.ends)
    return "".join(rng.choice(part) for _ in range(rng.randint(1, 3)) for part in parts)
