"""LamRA's prompts as rows: a candidate is one line, which tells what its turns tell."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colloquy.protocols import lamra as protocol
from colloquy.protocols.lamra import Content
from training.data import lamra
from training.data.encode import Encoded, Encoder
from training.data.judgements import Candidate, Judgement
from training.data.pairs import Pair, Query
from training.data.rows import NOTHING, Row
from training.data.world.facets import Facets

ANY_CANDIDATE = "Candidate:"
CANDIDATES = "Candidates:"


class LamraRows:
    """Makes rows of LamRA's prompts."""

    def __init__(self, encoder: Encoder, tokenizer: Any) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self._user = tokenizer("<|im_end|>\n<|im_start|>user\n")["input_ids"]
        self._summarise = tokenizer("\nSummarize above")["input_ids"]

    def fragment(self, pair: Pair) -> Row:
        """A fragment to be embedded."""
        encoded = self._encoder.encode(lamra.embedding(lamra.fragment_content(pair.turns)))
        ids = encoded.ids
        start = _first(ids, [self._end], 0) + len(self._user)
        stop = _last(ids, self._summarise, start)
        told = (pair.told.facets, *([pair.told.beside] if pair.told.beside else []))
        return self._row(encoded, [(start, stop)], (told,), {}, [False])

    def query(self, query: Query) -> Row:
        """A query to be embedded."""
        encoded = self._encoder.encode(lamra.embedding(lamra.query_content(query)))
        return self._row(encoded, [], (), query.facets, [])

    def pointwise(self, query: Query, candidate: Candidate, *, meets: bool) -> Row:
        """One candidate, and whether it meets the query."""
        answer = protocol.YES if meets else protocol.NO
        content = lamra.fragment_content(candidate.turns)
        example = lamra.pointwise(lamra.query_content(query), content, answer)
        encoded = self._encoder.encode(example)
        start = self._shown(encoded, ANY_CANDIDATE)
        stop = _first(encoded.ids, [self._end], start)
        return self._row(encoded, [(start, stop)], (candidate.told,), query.facets, [meets])

    def listwise(self, judgement: Judgement, rng: random.Random) -> Row:
        """Several candidates in any order, one of which meets the query."""
        candidates = [judgement.right, *judgement.wrong]
        rng.shuffle(candidates)
        right = candidates.index(judgement.right)
        contents = [lamra.fragment_content(candidate.turns) for candidate in candidates]
        query = lamra.query_content(judgement.query)
        encoded = self._encoder.encode(lamra.listwise(query, contents, f"Ans: ({right + 1})"))
        place = self._shown(encoded, CANDIDATES)
        starts = []
        for number in range(1, len(candidates) + 1):
            label = self._tokenizer(f"({number})")["input_ids"]
            place = _first(encoded.ids, label, place)
            starts.append(place)
        stops = [*starts[1:], _first(encoded.ids, [self._end], place)]
        told = tuple(candidate.told for candidate in candidates)
        meets = [number == right for number in range(len(candidates))]
        return self._row(
            encoded, list(zip(starts, stops, strict=True)), told, judgement.query.facets, meets
        )

    def beginning(self, query: Query, *, listed: bool) -> Row:
        """A prompt up to where its candidates begin; the last token is what gathers the query."""
        content = lamra.query_content(query)
        nothing: Content = []
        example = (
            lamra.listwise(content, [nothing], "")
            if listed
            else lamra.pointwise(content, nothing, "")
        )
        encoded = self._encoder.encode(example)
        place = self._shown(encoded, CANDIDATES if listed else ANY_CANDIDATE)
        return self._row(_cut(encoded, place), [], (), query.facets, [], place - 1)

    def _shown(self, encoded: Encoded, label: str) -> int:
        """The place behind where the candidates are announced."""
        wanted = self._tokenizer(label)["input_ids"]
        return _last(encoded.ids, wanted, 0) + len(wanted)

    def _row(
        self,
        encoded: Encoded,
        spans: Sequence[tuple[int, int]],
        told: tuple[tuple[Facets, ...], ...],
        asked: Facets,
        meets: Sequence[bool],
        query_end: int = NOTHING,
    ) -> Row:
        size = len(encoded.ids)
        line_of = np.full(size, NOTHING, dtype=np.int64)
        for line, (start, stop) in enumerate(spans):
            line_of[start:stop] = line
        starts, ends = (np.array(part, dtype=np.int64) for part in ([], []))
        if spans:
            starts = np.array([start for start, _ in spans])
            ends = np.array([stop - 1 for _, stop in spans])
        return Row(
            encoded=_with_lines(encoded, starts, ends, meets),
            query_end=query_end,
            line_of=line_of,
            in_id=np.zeros(size, dtype=np.bool_),
            told=told,
            asked=asked,
            topics=np.arange(len(spans)),
            begins=np.zeros(len(spans), dtype=np.bool_),
            answers=np.array(meets, dtype=np.bool_),
            ids=np.full(len(spans), NOTHING, dtype=np.int64),
            shows=np.full(len(spans), NOTHING, dtype=np.int64),
            names=np.full(size, NOTHING, dtype=np.int64),
        )


def _with_lines(
    encoded: Encoded, starts: NDArray[np.int64], ends: NDArray[np.int64], lines: Sequence[bool]
) -> Encoded:
    return replace(
        encoded, line_starts=starts, line_ends=ends, lines=np.array(lines, dtype=np.bool_)
    )


def _cut(encoded: Encoded, size: int) -> Encoded:
    """The first `size` tokens."""
    return replace(
        encoded, ids=encoded.ids[:size], answer=encoded.answer[:size], body=encoded.body[:size],
        positions=encoded.positions[:, :size],
    )  # fmt: skip


def _first(ids: NDArray[np.int64], wanted: Sequence[int], start: int) -> int:
    """Where `wanted` stands first from `start` on."""
    return next(n for n in range(start, len(ids)) if ids[n : n + len(wanted)].tolist() == wanted)


def _last(ids: NDArray[np.int64], wanted: Sequence[int], start: int) -> int:
    size = len(wanted)
    places = range(len(ids) - size, start - 1, -1)
    return next(n for n in places if ids[n : n + size].tolist() == list(wanted))
