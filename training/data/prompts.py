"""The world's samples as prompts and answers: the published ones, and the base's own exercises.

The base never sees the published instructions: they come with the adapters. It learns the form of
the answers, the words of the world and how to point, from plainer exercises.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.protocols import f2rvlm
from training.data.world import lexicon
from training.data.world.dialogues import Stretch, Turn, WorldDialogue
from training.data.world.facets import tells
from training.data.world.pictures import PictureSpec
from training.data.world.queries import WorldQuery, make_queries
from training.data.world.splits import Sample

ASKED = "<|query_start|>{}<|query_end|>"
MORE_QUERIES = 10
BRIEF_LINES = 3
DEFAULT_SYSTEM = "You are a helpful assistant."
Exercise = Literal[
    "find", "topics", "speaker", "word", "pictures", "thing", "caption", "question", "continue"
]


@dataclass(frozen=True, slots=True)
class Example:
    """One exchange to learn from.

    Attributes:
        user: with `<image>` where each picture stands.
        lines: for each line of the dialogue block, whether it belongs to the answer ("find") or
            begins a new stretch ("topics"); empty where that is not asked.
        asks: more queries about the same dialogue, each with the positions of the lines that
            answer it; not in the prompt.
    """

    system: str
    user: str
    answer: str
    pictures: tuple[PictureSpec, ...]
    kind: str
    lines: tuple[bool, ...] = ()
    asks: tuple[tuple[str, tuple[int, ...]], ...] = ()


def utterances(dialogue: WorldDialogue, first_id: int = 0) -> list[Utterance]:
    """The dialogue in the contract's form; pictures are named `picture:<image id>`."""
    turns = []
    image = 0
    for number, turn in enumerate(dialogue.turns):
        parts: list[TextPart | ImagePart] = [TextPart(text=turn.text)] if turn.text else []
        if turn.picture:
            parts.append(ImagePart.of(f"picture:{image}"))
            image += 1
        turns.append(Utterance(id=first_id + number, speaker=turn.speaker, content=parts))
    return turns


def fragment_example(dialogue: WorldDialogue, query: WorldQuery) -> Example:
    """The published retrieval prompt and its gold answer."""
    prompt = f2rvlm.render_fragment(utterances(dialogue), query.text)
    answer = f2rvlm.format_answer(query.utterance_ids, query.image_ids)
    wanted = set(query.utterance_ids)
    lines = tuple(number in wanted for number in range(len(dialogue.turns)))
    return Example(prompt.system, prompt.user, answer, dialogue.pictures, "fragment", lines)


def split_example(dialogue: WorldDialogue) -> Example:
    """The published splitting prompt and its gold answer."""
    prompt = f2rvlm.render_split(utterances(dialogue))
    answer = f2rvlm.format_split([list(range(s.start, s.stop)) for s in dialogue.stretches])
    starts = {stretch.start for stretch in dialogue.stretches}
    lines = tuple(number in starts for number in range(len(dialogue.turns)))
    return Example(prompt.system, prompt.user, answer, dialogue.pictures, "split", lines)


def exercise(kind: Exercise, sample: Sample, rng: random.Random) -> Example:
    """One of the base's own exercises, over a training sample."""
    dialogue = sample.dialogue
    if kind == "caption":
        return _caption(rng, dialogue)
    if kind == "question":
        return _question(rng, dialogue)
    if kind == "continue":
        return _continue(rng, dialogue)
    # Ids sometimes start elsewhere, so that pointing is copying and not counting.
    first = rng.randrange(1, 60) if rng.random() < 0.5 else 0
    turns = utterances(dialogue, first)
    if kind == "topics":
        return replace(_topics(dialogue, turns, first), asks=_asks(dialogue, rng))
    if kind == "find":
        query = rng.choice(sample.queries)
        asked = ASKED.format(query.text)
        example = _pointing(dialogue, turns, asked, query.utterance_ids, "find")
        return replace(example, asks=_asks(dialogue, rng))
    instruction, ids = _simple(kind, dialogue, rng)
    return _pointing(dialogue, turns, instruction, ids, kind)


def brief(sample: Sample, rng: random.Random) -> Sample:
    """Leaves up to three telling lines of each stretch, pictures first, and asks anew."""
    dialogue = sample.dialogue
    turns: list[Turn] = []
    stretches: list[Stretch] = []
    for stretch in dialogue.stretches:
        every = dialogue.turns[stretch.start : stretch.stop]
        telling = [turn for turn in every if turn.picture or tells(turn.text, dialogue.language)]
        telling = telling or list(every[:1])
        chosen = sorted(range(len(telling)), key=lambda n: (not telling[n].picture, rng.random()))
        kept = [telling[n] for n in sorted(chosen[:BRIEF_LINES])]
        stretches.append(Stretch(stretch.topic, len(turns), len(turns) + len(kept)))
        turns += kept
    short = replace(dialogue, turns=tuple(turns), stretches=tuple(stretches))
    return Sample(short, tuple(make_queries(short, rng, "train", 2)))


def _asks(dialogue: WorldDialogue, rng: random.Random) -> tuple[tuple[str, tuple[int, ...]], ...]:
    queries = make_queries(dialogue, rng, "train", MORE_QUERIES)
    return tuple((ASKED.format(query.text), query.utterance_ids) for query in queries)


def _pointing(
    dialogue: WorldDialogue,
    turns: list[Utterance],
    instruction: str,
    positions: Sequence[int],
    kind: str,
) -> Example:
    """Instruction, dialogue, then the ids of the turns at `positions` and of their pictures."""
    block = f2rvlm.render_fragment(turns, "").user
    block = block[block.index("<|utt_id_start|>") :]
    first = turns[0].id
    images = dialogue.images_in(list(positions))
    answer = f2rvlm.format_answer([first + position for position in positions], images)
    wanted = set(positions)
    lines = tuple(number in wanted for number in range(len(turns)))
    return Example(
        DEFAULT_SYSTEM, f"{instruction}\n{block}", answer, dialogue.pictures, kind, lines
    )


def _topics(dialogue: WorldDialogue, turns: list[Utterance], first: int) -> Example:
    user = f2rvlm.render_split(turns).user
    block = user[user.rindex(f"<|utt_id_start|>{first}<|utt_id_end|>") :]
    runs = [[first + turn for turn in range(s.start, s.stop)] for s in dialogue.stretches]
    starts = {stretch.start for stretch in dialogue.stretches}
    lines = tuple(number in starts for number in range(len(turns)))
    return Example(
        DEFAULT_SYSTEM,
        f"topics\n{block}",
        f2rvlm.format_split(runs),
        dialogue.pictures,
        "topics",
        lines,
    )


def _simple(kind: Exercise, dialogue: WorldDialogue, rng: random.Random) -> tuple[str, list[int]]:
    """Instruction and answering positions of the simplest pointing exercises."""
    turns = dialogue.turns
    if kind == "speaker":
        name = rng.choice(turns).speaker
        return name, [n for n, turn in enumerate(turns) if turn.speaker == name]
    if kind == "pictures":
        return "pictures", [n for n, turn in enumerate(turns) if turn.picture]
    if kind == "thing":
        shown = rng.choice([turn.picture for turn in turns if turn.picture] or [None])
        item = shown.item if shown else rng.choice(sorted(lexicon.load().items))
        words = lexicon.load().items[item]
        name = rng.choice((words.en, words.zh, *words.ask_en, *words.ask_zh))
        return f"picture: {name}", [
            n for n, turn in enumerate(turns) if turn.picture and item in _things(turn.picture)
        ]
    text = rng.choice([turn.text for turn in turns if turn.text])
    return f"says: {text}", [n for n, turn in enumerate(turns) if turn.text == text]


def _things(picture: PictureSpec) -> tuple[str, ...]:
    return (picture.item, picture.beside[0]) if picture.beside else (picture.item,)


def _caption(rng: random.Random, dialogue: WorldDialogue) -> Example:
    """Names a picture, in one language or the other, in words of dialogues or of queries."""
    words = lexicon.load()
    shown = dialogue.pictures or (PictureSpec(*rng.choice(_seen_pairs()), rng.randrange(10**6)),)
    picture = rng.choice(shown)
    language = rng.choice(lexicon.LANGUAGES)
    item, colour = words.items[picture.item], words.colours[picture.colour]
    if rng.random() < 0.5:
        thing = item.say(language)
        shade = colour.en if language == "en" else colour.zh
    else:
        thing, shade = rng.choice(item.ask(language)), colour.ask(language)
    instruction = "picture" if language == "en" else "图片"
    answer = f"{shade} {thing}" if language == "en" else f"{shade}的{thing}"
    return Example(DEFAULT_SYSTEM, f"{instruction}: <image>", answer, (picture,), "caption")


def _question(rng: random.Random, dialogue: WorldDialogue) -> Example:
    """Asks one thing about how a picture looks."""
    words = lexicon.load()
    shown = dialogue.pictures or (PictureSpec(*rng.choice(_seen_pairs()), rng.randrange(10**6)),)
    picture = rng.choice(shown)
    language = rng.choice(lexicon.LANGUAGES)
    asks = {
        "en": {"colour": "which colour", "count": "how many", "text": "what is written"},
        "zh": {"colour": "什么颜色", "count": "有几个", "text": "写着什么"},
    }[language]
    answers = {
        "colour": words.colours[picture.colour].say(language),
        "count": str(picture.count),
        "text": picture.text,
    }
    asked = rng.choice([name for name, answer in answers.items() if answer])
    return Example(
        DEFAULT_SYSTEM, f"{asks[asked]}: <image>", answers[asked], (picture,), "question"
    )


def _continue(rng: random.Random, dialogue: WorldDialogue) -> Example:
    """What might be said next, after a few lines of one stretch."""
    stretch = rng.choice(dialogue.stretches)
    turns = [turn for turn in dialogue.turns[stretch.start : stretch.stop] if turn.text]
    size = min(len(turns), rng.randint(2, 5))
    first = rng.randint(0, len(turns) - size)
    *before, last = turns[first : first + size] or dialogue.turns[:1]
    said = "\n".join(f"{turn.speaker}: {turn.text}" for turn in before)
    return Example(DEFAULT_SYSTEM, f"continue\n{said}", last.text, (), "continue")


def _seen_pairs() -> list[tuple[str, str]]:
    from training.data.world.facts import held_out

    words = lexicon.load()
    return [
        (item, colour)
        for item in sorted(words.items)
        for colour in sorted(words.colours)
        if not held_out(item, colour)
    ]
