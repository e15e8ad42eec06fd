"""Dialogues as the taught layers see them: a quarter of the tokens, what lies below computed once.

What the lowest layers give is the same in every step, since they are not taught any more. Of a
dialogue's words the higher layers need those that tell something, the ends of lines and the ids;
of all others a small sample stands for the rest, each with the weight of those that it stands for.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training import precision
from training.data.encode import IGNORED
from training.data.rows import NOTHING, Row, gather
from training.matching import MATCHES, common, telling
from training.reading import READS, Reader
from training.values import KINDS

CROWD_SHARE = 0.07  # of the words that tell nothing
ECHO_SHARE = 0.3  # of those that tell only what a later word of their line tells, too
FAR = -1e4
NUMBERS = 128  # numbers of lines and pictures that are taught
NO_PICTURE = NUMBERS


@dataclass(frozen=True, slots=True)
class Thin:
    """Rows of kept tokens, padded on the right. Points are (row, token) pairs in flat order.

    Attributes:
        hidden: (rows, tokens, width), the states below the taught layers.
        positions: (3, rows, tokens).
        weights: (rows, tokens), logarithm of how many tokens each stands for; FAR for padding.
        targets: (rows, tokens), the next token of the prompt, or IGNORED.
        word_rows, word_places, word_flags: (words,), (words,) and (words, kinds) of 0 and 1:
            whether a word of a dialogue tells what is asked, in rows that ask.
        line_rows, line_places: (lines,), the last token of every line. line_begins: (lines,).
        asked_lines: (asking,), which of the lines are in rows that ask. line_flags: (asking,
            kinds), as word_flags. line_known: (asking,), whether the answer is known to hold it.
        line_ids, line_firsts, line_shows: (lines,), the numbers that the prompt gives a line, the
            first line of its stretch, and its picture; IGNORED where there is none.
        named_rows, named_places: (named,), numbers of turns in answers. named_shows: (named,), the
            number of the picture that the turn shows, or `NO_PICTURE`.
    """

    hidden: Tensor
    positions: Tensor
    weights: Tensor
    targets: Tensor
    word_rows: Tensor
    word_places: Tensor
    word_flags: Tensor
    line_rows: Tensor
    line_places: Tensor
    line_begins: Tensor
    asked_lines: Tensor
    line_flags: Tensor
    line_known: Tensor
    line_ids: Tensor
    line_firsts: Tensor
    line_shows: Tensor
    named_rows: Tensor
    named_places: Tensor
    named_shows: Tensor

    def mask(self, dtype: torch.dtype) -> Tensor:
        """(rows, 1, tokens, tokens), added to what attention compares."""
        size = self.weights.shape[1]
        future = torch.ones(size, size, dtype=torch.bool).triu(1)
        seen = self.weights[:, None, None, :].expand(-1, 1, size, size)
        return seen.masked_fill(future, FAR).to(dtype)


@torch.no_grad()
def thin(reader: Reader, rows: Sequence[Row], pad_id: int, rng: random.Random) -> Thin:
    """Reads rows with the lowest layers and keeps what the higher ones need."""
    block = gather(rows, pad_id)
    with precision.autocast():
        read = reader(block)
        below = reader.layers.run(read.hidden, block.positions, READS, MATCHES)[-1]
    told = telling(reader, read, block)
    kept = [_kept(row, told[number].numpy(), rng) for number, row in enumerate(rows)]
    return _collate(reader, rows, below, told, kept)


def _kept(row: Row, tells: NDArray[np.bool_], rng: random.Random) -> tuple[list[int], list[float]]:
    """Places of the kept tokens, ascending, and the logarithms of their weights.

    Args:
        tells: (tokens, values).
    """
    size = len(row.encoded.ids)
    outside = row.line_of == NOTHING
    needed = outside | row.in_id
    needed[row.encoded.line_ends] = True
    needed[_last_to_tell(row, tells)] = True
    echoes = tells[:size].any(-1)
    places, weights = [], []
    for place in range(size):
        share = 1.0 if needed[place] else ECHO_SHARE if echoes[place] else CROWD_SHARE
        if share == 1.0 or rng.random() < share:
            places.append(place)
            weights.append(-math.log(share))
    return places, weights


def _last_to_tell(row: Row, tells: NDArray[np.bool_]) -> list[int]:
    """For each fact of a line the last word that tells it."""
    last: dict[tuple[int, int], int] = {}
    for place, value in zip(*tells.nonzero(), strict=True):
        last[int(row.line_of[place]), int(value)] = int(place)
    return sorted(set(last.values()))


def _collate(
    reader: Reader,
    rows: Sequence[Row],
    below: Tensor,
    told: Tensor,
    kept: Sequence[tuple[list[int], list[float]]],
) -> Thin:
    longest = -(-max(len(places) for places, _ in kept) // 8) * 8
    count, width = len(rows), below.shape[-1]
    hidden = torch.zeros(count, longest, width, dtype=torch.bfloat16)
    positions = torch.zeros(3, count, longest, dtype=torch.long)
    weights = torch.full((count, longest), FAR)
    targets = torch.full((count, longest), IGNORED)
    words: list[Tensor] = []
    word_flags: list[Tensor] = []
    lines: list[Tensor] = []
    begins, asking, line_flags, known = [], [], [], []
    for number, (row, (places, heavy)) in enumerate(zip(rows, kept, strict=True)):
        size = len(places)
        index = torch.tensor(places)
        hidden[number, :size] = below[number, index].to(torch.bfloat16)
        positions[:, number, :size] = torch.from_numpy(row.encoded.positions)[:, index]
        weights[number, :size] = torch.tensor(heavy)
        following = torch.from_numpy(np.append(row.encoded.ids[1:], IGNORED))
        taught = torch.from_numpy(np.append(row.encoded.answer[1:], False))
        targets[number, :size] = torch.where(taught, following, IGNORED)[index]
        if not len(row.begins):
            continue
        where = {place: n for n, place in enumerate(places)}
        ends = torch.tensor([where[place] for place in row.encoded.line_ends.tolist()])
        first = sum(len(one) for one in lines)
        lines.append(torch.stack([torch.full_like(ends, number), ends], -1))
        begins.append(torch.from_numpy(row.begins))
        if not row.asked:
            continue
        asks = reader.values.told([row.asked])[None] > 0
        inside = torch.from_numpy(row.line_of[places] != NOTHING).nonzero()[:, 0]
        words.append(torch.stack([torch.full_like(inside, number), inside], -1))
        word_flags.append(common(told[number, index[inside]], asks, reader.values)[..., 0].T)
        facts = torch.stack([reader.values.told(line) for line in row.told]) > 0
        line_flags.append(common(facts, asks, reader.values)[..., 0].T)
        asking.append(torch.arange(first, first + len(ends)))
        known.append(torch.from_numpy(known_answers(row)))
    pairs = _stacked(words, 2)
    ends = _stacked(lines, 2)
    return Thin(
        hidden, positions, weights, targets,
        pairs[:, 0], pairs[:, 1], _stacked(word_flags, len(KINDS)).float(),
        ends[:, 0], ends[:, 1], _joined(begins).float(),
        _joined(asking).long(), _stacked(line_flags, len(KINDS)).float(), _joined(known).float(),
        *_numbered(rows, kept),
    )  # fmt: skip


def _numbered(
    rows: Sequence[Row], kept: Sequence[tuple[list[int], list[float]]]
) -> tuple[Tensor, ...]:
    """What `Thin` holds of numbers, from `line_ids` on."""
    ids, firsts, shows, named, named_shows = [], [], [], [], []
    for number, (row, (places, _)) in enumerate(zip(rows, kept, strict=True)):
        if not len(row.begins):
            continue
        own = _numbers(row.ids)
        # Candidates begin nothing and have no numbers.
        begun = np.maximum.accumulate(np.where(row.begins, np.arange(len(own)), 0))
        ids.append(own)
        firsts.append(own[torch.from_numpy(begun)])
        shows.append(_numbers(row.shows))
        names = torch.from_numpy(row.names[places])
        at = (names != NOTHING).nonzero()[:, 0]
        named.append(torch.stack([torch.full_like(at, number), at], -1))
        shown = torch.from_numpy(row.shows)[names[at]]
        named_shows.append(shown.masked_fill((shown == NOTHING) | (shown >= NUMBERS), NO_PICTURE))
    naming = _stacked(named, 2)
    numbers = (_joined(part).long() for part in (ids, firsts, shows))
    return *numbers, naming[:, 0], naming[:, 1], _joined(named_shows).long()


def _numbers(told: NDArray[np.int64]) -> Tensor:
    """As targets: those that are not taught are ignored."""
    numbers = torch.from_numpy(told)
    return numbers.masked_fill((numbers == NOTHING) | (numbers >= NUMBERS), IGNORED)


def known_answers(row: Row) -> NDArray[np.bool_]:
    """(lines,): whether what was said up to a line tells that the line belongs to the answer."""
    known = np.zeros(len(row.topics), dtype=np.bool_)
    said: dict[tuple[int, int], dict[str, str]] = {}
    for line, told in enumerate(row.told):
        topic = int(row.topics[line])
        for part, found in enumerate(told):
            said.setdefault((topic, part), {}).update(found)
        known[line] = row.answers[line] and any(
            all(found.get(facet) == value for facet, value in row.asked.items())
            for (owner, _), found in said.items()
            if owner == topic
        )
    return known


def _stacked(parts: Sequence[Tensor], columns: int) -> Tensor:
    return torch.cat(list(parts)) if parts else torch.zeros(0, columns, dtype=torch.long)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if parts else torch.zeros(0, dtype=torch.long)


def tokens(batch: Thin) -> int:
    """How many tokens a batch keeps, padding aside."""
    return int((batch.weights > FAR).sum())
