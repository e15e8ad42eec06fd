"""Safetensors files read without torch: names, shapes and whether every number is finite."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_MAX_HEADER_BYTES = 100 * 2**20
_BLOCK_NUMBERS = 1 << 22
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class NotSafetensors(ValueError):
    """The file is not in the safetensors format, or is cut."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: where it lies, not what it holds."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, from its header.

    Raises:
        NotSafetensors: the header does not hold, or the data is shorter or longer than it says.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise NotSafetensors("the file is too short")
        (header_bytes,) = struct.unpack("<Q", prefix)
        if header_bytes > min(_MAX_HEADER_BYTES, size - 8):
            raise NotSafetensors("the header is longer than the file")
        try:
            header = json.loads(stream.read(header_bytes))
            tensors = dict(_entries(file, header, data_at=8 + header_bytes))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NotSafetensors("the header does not hold") from error
    ends = 8 + header_bytes
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.start):
        if tensor.start != ends or tensor.end < tensor.start:
            raise NotSafetensors(f"`{tensor.name}` does not follow the tensor before it")
        ends = tensor.end
    if ends != size:
        raise NotSafetensors("the data is shorter or longer than the header says")
    return tensors


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of a floating-point tensor is NaN or infinite.

    Raises:
        NotSafetensors: it is not of a floating-point type that we know, or its size is wrong.
    """
    item = _ITEM_BYTES.get(tensor.dtype)
    numbers = int(np.prod(tensor.shape, dtype=np.int64))
    if item is None or tensor.end - tensor.start != numbers * item:
        raise NotSafetensors(f"`{tensor.name}` is not a whole tensor of floating-point numbers")
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        left = tensor.end - tensor.start
        while left:
            block = stream.read(min(left, _BLOCK_NUMBERS * item))
            if not block:
                raise NotSafetensors("the file is cut")
            left -= len(block)
            if not _block_is_finite(block, tensor.dtype):
                return False
    return True


def _block_is_finite(block: bytes, dtype: str) -> bool:
    if dtype == "BF16":
        # numpy has no bfloat16: a number is not finite where all eight exponent bits are set.
        bits = np.frombuffer(block, dtype="<u2")
        return not bool(np.any((bits & 0x7F80) == 0x7F80))
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    return bool(np.isfinite(np.frombuffer(block, dtype=kinds[dtype])).all())


def _entries(file: Path, header: Any, *, data_at: int) -> Iterator[tuple[str, Tensor]]:
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        shape = tuple(int(length) for length in entry["shape"])
        yield name, Tensor(file, name, str(entry["dtype"]), shape, data_at + start, data_at + end)
