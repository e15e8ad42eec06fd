"""One record as it stands in the file."""

from dataclasses import dataclass

MAX_RECORD_BYTES = 32 * 2**20


def too_large(most_bytes: int) -> str:
    return f"is larger than {most_bytes:,} bytes; was not read"


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that should be JSON.

    Attributes:
        line: where they begin. number: of the record in a JSON list, from 1.
    """

    line: int
    number: int | None
    text: bytes
