"""How the retriever and its workers talk: length-prefixed frames, JSON and plain arrays in each.

A frame is the length of what follows, the length of the JSON head, the head, and the bytes of the
arrays that `head["arrays"]` describes. Vectors are most of what is sent, and go as they lie in
memory. Light imports only: a worker starts with every restart.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

LENGTH: Final = struct.Struct("!I")
_KINDS: Final = {"f4": np.dtype("<f4"), "u4": np.dtype("<u4")}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a reply.

    Attributes:
        arrays: of 32-bit floats or unsigned integers, any shape.
    """

    head: dict[str, Any]
    arrays: Sequence[NDArray[Any]] = field(default_factory=tuple)


def encode(message: Message) -> bytes:
    """The whole frame, its length first.

    Raises:
        UnicodeEncodeError: a string of the head is no text.
    """
    kinds = [("f4" if array.dtype.kind == "f" else "u4", array) for array in message.arrays]
    described = [[kind, list(array.shape)] for kind, array in kinds]
    head = json.dumps({**message.head, "arrays": described}, ensure_ascii=False).encode()
    blobs = [np.ascontiguousarray(array, _KINDS[kind]).tobytes() for kind, array in kinds]
    size = LENGTH.size + len(head) + sum(map(len, blobs))
    return b"".join([LENGTH.pack(size), LENGTH.pack(len(head)), head, *blobs])


def decode(frame: bytes) -> Message:
    """Reads what follows a frame's length."""
    (head_length,) = LENGTH.unpack_from(frame)
    at = LENGTH.size + head_length
    head = json.loads(frame[LENGTH.size : at])
    arrays = []
    for kind, shape in head.pop("arrays"):
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(frame, _KINDS[kind], count, at).reshape(shape))
        at += count * _KINDS[kind].itemsize
    return Message(head, arrays)


def read_frame(stream: BinaryIO) -> bytes | None:
    """What follows the next length; None at the end, and where only a part has been written."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    frame = stream.read(length)
    return frame if len(frame) == length else None
