"""Dialogues and queries as the lowest layers read them, with what each line tells."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data import pairs, prompts, roughened
from training.data.encode import Encoded, Encoder
from training.data.prompts import ASKED, DEFAULT_SYSTEM, Example, Exercise
from training.data.world import facets, splits
from training.data.world.dialogues import Stretch, Turn, WorldDialogue
from training.data.world.facets import Facets
from training.data.world.facts import draw_topic
from training.data.world.lexicon import LANGUAGES
from training.data.world.pictures import PictureSpec
from training.data.world.splits import Sample, Split
from training.vision import drawn_spec, training_pairs

QUERY_END = "<|query_end|>"
TURNS_END = "<|utt_ids_end|>"
ID_TAGS = (
    ("<|utt_id_start|>", "<|utt_id_end|>"),
    ("<|img_id_start|>", "<|img_id_end|>"),
)
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt, with an answer or without.

    Attributes:
        query_end: place of the token that ends the query, or NOTHING.
        line_of: (tokens,), which line of the dialogue a token stands in, or NOTHING.
        in_id: (tokens,) of bool, whether a token is part of a turn's or a picture's id.
        told: what each line tells, of its topic and of what stands beside that in a picture.
        asked: what the query asks; empty without one.
        topics: (lines,), which topic a line is about.
        begins: (lines,) of bool, whether a stretch begins there.
        answers: (lines,) of bool, whether a line belongs to the answer.
        ids: (lines,), the number that the prompt gives a line, or NOTHING.
        shows: (lines,), the number that the prompt gives a line's picture, or NOTHING.
        names: (tokens,), which line a number among an answer's turns names, or NOTHING.
    """

    encoded: Encoded
    query_end: int
    line_of: NDArray[np.int64]
    in_id: NDArray[np.bool_]
    told: tuple[tuple[Facets, ...], ...]
    asked: Facets
    topics: NDArray[np.int64]
    begins: NDArray[np.bool_]
    answers: NDArray[np.bool_]
    ids: NDArray[np.int64]
    shows: NDArray[np.int64]
    names: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows, padded on the right.

    Attributes:
        ids: (rows, tokens). positions: (3, rows, tokens). line_of: (rows, tokens).
        query_ends: (rows,).
    """

    rows: tuple[Row, ...]
    ids: Tensor
    positions: Tensor
    line_of: Tensor
    query_ends: Tensor
    pictures: tuple[PictureSpec, ...]


def gather(rows: Sequence[Row], pad_id: int) -> Block:
    longest = max(len(row.encoded.ids) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    positions = np.zeros((3, len(rows), longest), dtype=np.int64)
    line_of = np.full((len(rows), longest), NOTHING, dtype=np.int64)
    for number, row in enumerate(rows):
        size = len(row.encoded.ids)
        ids[number, :size] = row.encoded.ids
        positions[:, number, :size] = row.encoded.positions
        line_of[number, :size] = row.line_of
    return Block(
        rows=tuple(rows),
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        line_of=torch.from_numpy(line_of),
        query_ends=torch.tensor([row.query_end for row in rows]),
        pictures=tuple(spec for row in rows for spec in row.encoded.pictures),
    )


class Rows:
    """Makes rows of any kind."""

    def __init__(self, encoder: Encoder, tokenizer: Any) -> None:
        self._encoder = encoder
        self._query_end = tokenizer.convert_tokens_to_ids(QUERY_END)
        starts, ends = zip(*ID_TAGS, strict=True)
        self._id_starts = tokenizer.convert_tokens_to_ids(list(starts))
        self._id_ends = tokenizer.convert_tokens_to_ids(list(ends))
        self._turns_end = tokenizer.convert_tokens_to_ids(TURNS_END)
        # Each is one token: the tokenizer is made so.
        numbers = tokenizer.convert_tokens_to_ids([str(number) for number in range(1_000)])
        self._number_of = {token: number for number, token in enumerate(numbers)}

    def exercise(
        self, kind: Exercise, sample: Sample, rng: random.Random, *, rough: bool = True
    ) -> Row:
        """One of the base's own exercises over a sample, with one of its queries."""
        query = rng.choice(sample.queries)
        sample = Sample(sample.dialogue, (query,))
        if rough:
            sample = roughened.sample(sample, rng)
        example = prompts.exercise(kind, sample, rng)
        return self.row(example, sample.dialogue, query.facets if kind == "find" else {})

    def row(self, example: Example, dialogue: WorldDialogue, asked: Facets) -> Row:
        """A prompt whose lines are the dialogue's turns; one without lines tells nothing."""
        encoded = self._encoder.encode(example)
        line_of = np.full(len(encoded.ids), NOTHING, dtype=np.int64)
        for number, (start, end) in enumerate(
            zip(encoded.line_starts, encoded.line_ends, strict=True)
        ):
            line_of[start : end + 1] = number
        begins = np.zeros(len(encoded.lines), dtype=np.bool_)
        topics = np.zeros(len(encoded.lines), dtype=np.int64)
        answers = encoded.lines
        if len(encoded.lines):
            begins[[stretch.start for stretch in dialogue.stretches]] = True
            for stretch in dialogue.stretches:
                topics[stretch.start : stretch.stop] = stretch.topic
            if example.kind in ("topics", "split"):
                answers = np.zeros_like(answers)
        told = _told(dialogue) if len(begins) else ()
        in_id = self._in_id(encoded)
        ids, shows = self._numbers_of(encoded, in_id)
        return Row(
            encoded, self._place(encoded), line_of, in_id, told, asked, topics,
            begins, answers, ids, shows, self._names(encoded, ids),
        )  # fmt: skip

    def picture(self, rng: random.Random) -> Row:
        """A single line that shows a picture of any look, without a word."""
        spec = drawn_spec(rng, rng.choice(training_pairs()))
        language = rng.choice(LANGUAGES)
        topic = draw_topic(rng, language, "train")
        while topic.item is None:
            topic = draw_topic(rng, language, "train")
        topic = replace(
            topic, item=spec.item, colour=spec.colour, count=spec.count, style=spec.style
        )
        turns = (Turn("user1", "", spec),)
        dialogue = WorldDialogue("picture", language, (topic,), (Stretch(0, 0, 1),), turns)
        return self.row(prompts.exercise("pictures", Sample(dialogue, ()), rng), dialogue, {})

    def query(self, split: Split, rng: random.Random, *, rough: bool = True) -> Row:
        """A query alone, as a corpus or a dialogue is asked."""
        while True:
            number = rng.randrange(splits.DIALOGUES[split])
            drawn = splits.sample(split, number, queries=1 if rng.random() < 0.5 else 0)
            if drawn.queries:
                text, asked = drawn.queries[0].text, drawn.queries[0].facets
                language = drawn.queries[0].language
                break
            dialogue = drawn.dialogue
            told = facets.told(dialogue, rng.randrange(len(dialogue.topics)))
            query = pairs.make_query(told, dialogue.language, rng)
            if query is not None:
                text, asked, language = query.text, query.facets, dialogue.language
                break
        if rough:
            text = roughened.text_of(text, language, rng, roughened.QUERIES)
        return self.asked(Example(DEFAULT_SYSTEM, ASKED.format(text), "", (), "query"), asked)

    def asked(self, example: Example, asked: Facets) -> Row:
        """A prompt up to the tag that ends its query."""
        encoded = self._encoder.encode(example)
        place = self._place(encoded)
        ids = encoded.ids[: place + 1]
        encoded = replace(
            encoded, ids=ids, answer=encoded.answer[: place + 1],
            positions=encoded.positions[:, : place + 1],
        )  # fmt: skip
        line_of = np.full(len(ids), NOTHING, dtype=np.int64)
        none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        in_id = np.zeros(len(ids), dtype=np.bool_)
        return Row(
            encoded, place, line_of, in_id, (), asked, none, nothing, nothing, none, none,
            np.full(len(ids), NOTHING, dtype=np.int64),
        )  # fmt: skip

    def _numbers_of(
        self, encoded: Encoded, in_id: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each line: its own number, and that of its picture."""
        found = np.full((2, len(encoded.lines)), NOTHING, dtype=np.int64)
        for line, (start, end) in enumerate(
            zip(encoded.line_starts, encoded.line_ends, strict=True)
        ):
            for place in np.flatnonzero(in_id[start : end + 1]) + start:
                of_picture = encoded.ids[place - 1] == self._id_starts[1]
                found[int(of_picture), line] = self._number_of[int(encoded.ids[place])]
        return found[0], found[1]

    def _names(self, encoded: Encoded, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        named = np.full(len(encoded.ids), NOTHING, dtype=np.int64)
        lines = {number: line for line, number in enumerate(ids.tolist()) if number != NOTHING}
        for place in np.flatnonzero(encoded.answer):
            token = int(encoded.ids[place])
            if token == self._turns_end:
                return named
            named[place] = lines.get(self._number_of.get(token, NOTHING), NOTHING)
        return np.full(len(encoded.ids), NOTHING, dtype=np.int64)  # no list of turns

    def _in_id(self, encoded: Encoded) -> NDArray[np.bool_]:
        opened = np.isin(encoded.ids, self._id_starts).cumsum()
        closed = np.isin(encoded.ids, self._id_ends).cumsum()
        return (opened > closed) & ~np.isin(encoded.ids, self._id_starts)

    def _place(self, encoded: Encoded) -> int:
        found = np.flatnonzero(encoded.ids == self._query_end)
        return int(found[0]) if len(found) else NOTHING


def _told(dialogue: WorldDialogue) -> tuple[tuple[Facets, ...], ...]:
    """What each turn tells by itself."""
    owner = {
        turn: stretch.topic
        for stretch in dialogue.stretches
        for turn in range(stretch.start, stretch.stop)
    }
    found = []
    for number, turn in enumerate(dialogue.turns):
        told = facets.told_by(dialogue.topics[owner[number]], [turn], dialogue.language)
        found.append((told.facets, told.beside) if told.beside else (told.facets,))
    return tuple(found)
