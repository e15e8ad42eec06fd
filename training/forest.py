"""Prompts that begin alike, as one row: the beginning once, then what follows in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.encode import IGNORED, Encoded


@dataclass(frozen=True, slots=True)
class Forest:
    """Rows of a beginning and branches that see the beginning and themselves.

    Attributes:
        ids: (rows, tokens). positions: (3, rows, tokens).
        branch: (rows, tokens), 0 in the beginning, from 1 in the branches, -1 in the padding.
        seen: (rows, 1, tokens, tokens) of bool, which token attends to which.
        targets: (rows, tokens), the next token or IGNORED.
    """

    ids: Tensor
    positions: Tensor
    branch: Tensor
    seen: Tensor
    targets: Tensor
    pictures: list[Any]


def grow(rows: Sequence[Encoded], image_id: int) -> tuple[Encoded, list[int]]:
    """Joins prompts of one beginning: it comes once, the rest of each follows.

    Returns:
        The joined row, its pictures in the order of their tokens, and for each token its branch
        from 1, the beginning being 0.
    """
    shortest = min(len(row.ids) for row in rows)
    same = shortest if len(rows) == 1 else 0
    while same < shortest and all(row.ids[same] == rows[0].ids[same] for row in rows):
        same += 1
    head = rows[0]
    same, pictures_at_head = _shown_alike(rows, same, image_id)
    joined = Encoded(
        ids=np.concatenate([head.ids[:same], *(row.ids[same:] for row in rows)]),
        answer=np.concatenate([head.answer[:same], *(row.answer[same:] for row in rows)]),
        body=head.body[:0],
        positions=np.concatenate(
            [head.positions[:, :same], *(row.positions[:, same:] for row in rows)], axis=1
        ),
        line_starts=head.line_starts,
        line_ends=head.line_ends,
        lines=head.lines,
        pictures=(
            *head.pictures[:pictures_at_head],
            *(spec for row in rows for spec in row.pictures[pictures_at_head:]),
        ),
        kind=head.kind,
        asks=(),
    )
    branches = [0] * same
    for number, row in enumerate(rows, 1):
        branches += [number] * (len(row.ids) - same)
    return joined, branches


def _shown_alike(rows: Sequence[Encoded], same: int, image_id: int) -> tuple[int, int]:
    """Shortens the common beginning to what shows the same pictures, whose tokens are all alike.

    Returns:
        How many tokens are left, and how many pictures they show.
    """
    image = rows[0].ids[:same] == image_id
    starts = np.flatnonzero(image & ~np.concatenate([[False], image[:-1]])).tolist()
    for number, start in enumerate(starts):
        if any(row.pictures[number] != rows[0].pictures[number] for row in rows):
            return start, number
    return same, len(starts)


def gather(grown: Sequence[tuple[Encoded, list[int]]], pad_id: int) -> Forest:
    """Pads rows on the right."""
    longest = max(len(branches) for _, branches in grown)
    count = len(grown)
    ids = torch.full((count, longest), pad_id)
    positions = torch.zeros((3, count, longest), dtype=torch.long)
    targets = torch.full((count, longest), IGNORED)
    branch = torch.full((count, longest), -1)
    for number, (row, branches) in enumerate(grown):
        size = len(branches)
        ids[number, :size] = torch.from_numpy(row.ids)
        positions[:, number, :size] = torch.from_numpy(row.positions)
        branch[number, :size] = torch.tensor(branches)
        answer = torch.from_numpy(row.answer)
        targets[number, : size - 1] = torch.where(answer[1:], ids[number, 1:size], IGNORED)
    causal = torch.ones(longest, longest).tril().bool()
    own = branch[:, :, None] == branch[:, None, :]
    seen = causal & (own | (branch[:, None, :] == 0))
    pictures = [spec for row, _ in grown for spec in row.pictures]
    return Forest(ids, positions, branch, seen[:, None], targets, pictures)
