"""Examples as token ids, targets and positions; batches of them as tensors."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.prompts import Example
from training.data.world.pictures import PictureSpec

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example of `tokens` tokens.

    Attributes:
        ids: (tokens,).
        answer: (tokens,) of bool, the tokens to be learnt as the answer.
        body: (tokens,) of bool, the words of the dialogue, to be learnt as language.
        positions: (3, tokens), M-RoPE's time, row and column.
        line_starts, line_ends: (lines,), the first and the last token of each line of the
            dialogue, where lines are taught.
        lines: (lines,) of bool, what is taught there.
        asks: more queries about the dialogue: their tokens, and (lines,) of bool.
    """

    ids: NDArray[np.int64]
    answer: NDArray[np.bool_]
    body: NDArray[np.bool_]
    positions: NDArray[np.int64]
    line_starts: NDArray[np.int64]
    line_ends: NDArray[np.int64]
    lines: NDArray[np.bool_]
    pictures: tuple[PictureSpec, ...]
    kind: str
    asks: tuple[tuple[list[int], NDArray[np.bool_]], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded rows. Points are (row, token) pairs in flat order.

    Attributes:
        ids: (rows, tokens). positions: (3, rows, tokens).
        answer_targets, body_targets: (rows, tokens), the *next* token or IGNORED.
        line_rows, line_ends, line_labels, line_kinds: (points,).
        asks: (queries, tokens), queries of their own. ask_ends: (queries,), their last token.
        pair_asks, pair_points, pair_labels: (pairs,), which query meets which line point, and
            whether the line answers it.
    """

    ids: Tensor
    positions: Tensor
    answer_targets: Tensor
    body_targets: Tensor
    line_rows: Tensor
    line_ends: Tensor
    line_labels: Tensor
    line_kinds: Tensor
    asks: Tensor
    ask_ends: Tensor
    pair_asks: Tensor
    pair_points: Tensor
    pair_labels: Tensor
    pictures: list[PictureSpec]


class Encoder:
    """Writes examples as the chat template does, pictures as their number of tokens."""

    def __init__(self, tokenizer: Any, picture_side_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._side = picture_side_tokens
        self._image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        self._line = tokenizer.convert_tokens_to_ids("<|utt_id_start|>")
        self._end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        pads = "<|image_pad|>" * self._side**2
        self._picture = f"<|vision_start|>{pads}<|vision_end|>"

    @property
    def image_id(self) -> int:
        return int(self._image)

    def encode(self, example: Example) -> Encoded:
        user = example.user.replace("<image>", self._picture)
        prompt = (
            f"<|im_start|>system\n{example.system}<|im_end|>\n"
            f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
        )
        asked = self._tokenizer(prompt)["input_ids"]
        told = self._tokenizer(f"{example.answer}<|im_end|>")["input_ids"]
        ids = np.array(asked + told, dtype=np.int64)
        answer = np.arange(len(ids)) >= len(asked)
        starts = np.flatnonzero(ids[: len(asked)] == self._line)
        body = np.zeros(len(ids), dtype=np.bool_)
        line_starts = line_ends = np.zeros(0, dtype=np.int64)
        if example.lines:
            user_end = np.flatnonzero(ids[: len(asked)] == self._end)[1]
            starts = starts[-len(example.lines) :]
            line_ends = np.append(starts[1:], user_end) - 1
            line_starts = starts
            body[starts[0] : user_end] = True
            body &= ids != self._image
        return Encoded(
            ids=ids,
            answer=answer,
            body=body,
            positions=self._positions(ids),
            line_starts=line_starts,
            line_ends=line_ends,
            lines=np.array(example.lines, dtype=np.bool_),
            pictures=example.pictures,
            kind=example.kind,
            asks=tuple(self._ask(text, lines, len(example.lines)) for text, lines in example.asks),
        )

    def _ask(
        self, text: str, positions: tuple[int, ...], lines: int
    ) -> tuple[list[int], NDArray[np.bool_]]:
        answering = np.zeros(lines, dtype=np.bool_)
        answering[list(positions)] = True
        return self._tokenizer(text)["input_ids"], answering

    def _positions(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """M-RoPE: a picture's tokens share a time and spread over rows and columns."""
        side, area = self._side, self._side**2
        pads = np.flatnonzero(ids == self._image)
        advance = np.ones(len(ids), dtype=np.int64)
        advance[pads] = 0
        last_pads = pads[area - 1 :: area]
        advance[last_pads] = side
        base = np.concatenate(([0], np.cumsum(advance)[:-1]))
        positions = np.stack([base, base, base])
        cell = np.arange(len(pads)) % area
        positions[1, pads] += cell // side
        positions[2, pads] += cell % side
        return positions


def collate(rows: Sequence[Encoded], pad_id: int, rng: random.Random, body_share: float) -> Batch:
    """Pads rows on the right.

    Args:
        body_share: share of the dialogues' words that is learnt, to save time.
    """
    longest = max(len(row.ids) for row in rows)
    longest = -(-longest // 16) * 16
    count = len(rows)
    ids = np.full((count, longest), pad_id, dtype=np.int64)
    positions = np.zeros((3, count, longest), dtype=np.int64)
    answer = np.full((count, longest), IGNORED, dtype=np.int64)
    body = np.full((count, longest), IGNORED, dtype=np.int64)
    drawn = np.random.default_rng(rng.randrange(2**32))
    for number, row in enumerate(rows):
        size = len(row.ids)
        ids[number, :size] = row.ids
        positions[:, number, :size] = row.positions
        following = row.ids[1:]
        answer[number, : size - 1] = np.where(row.answer[1:], following, IGNORED)
        kept = row.body[1:] & (drawn.random(size - 1) < body_share)
        body[number, : size - 1] = np.where(kept, following, IGNORED)
    lined = [number for number, row in enumerate(rows) if len(row.lines)]
    line_rows = [number for number in lined for _ in rows[number].lines]
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        answer_targets=torch.from_numpy(answer),
        body_targets=torch.from_numpy(body),
        line_rows=torch.tensor(line_rows, dtype=torch.long),
        line_ends=_joined([rows[n].line_ends for n in lined], torch.long),
        line_labels=_joined([rows[n].lines for n in lined], torch.float32),
        line_kinds=torch.tensor([rows[n].kind == "topics" for n in line_rows], dtype=torch.long),
        **_pairs([rows[number] for number in lined], pad_id),
        pictures=[spec for row in rows for spec in row.pictures],
    )


def _pairs(rows: Sequence[Encoded], pad_id: int) -> dict[str, Tensor]:
    """Every extra query with every line of its own dialogue; points count on through the rows."""
    asks: list[list[int]] = []
    pair_asks, pair_points, labels = [], [], []
    first = 0
    for row in rows:
        points = np.arange(first, first + len(row.lines))
        for ids, answering in row.asks:
            pair_asks.append(np.full(len(points), len(asks)))
            pair_points.append(points)
            labels.append(answering)
            asks.append(ids)
        first += len(points)
    longest = max((len(ids) for ids in asks), default=1)
    padded = [ids + [pad_id] * (longest - len(ids)) for ids in asks]
    return {
        "asks": torch.tensor(padded, dtype=torch.long).view(len(asks), longest),
        "ask_ends": torch.tensor([len(ids) - 1 for ids in asks], dtype=torch.long),
        "pair_asks": _joined(pair_asks, torch.long),
        "pair_points": _joined(pair_points, torch.long),
        "pair_labels": _joined(labels, torch.float32),
    }


def _joined(arrays: list[NDArray[Any]], dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.concatenate([np.zeros(0), *arrays])).to(dtype)
