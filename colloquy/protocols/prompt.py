"""What every protocol renders, and what it raises when a model does not answer in its form."""

from collections.abc import Iterator
from dataclasses import dataclass

IMAGE = "<image>"


class Malformed(ValueError):
    """A model's answer does not have the published form."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model.

    Attributes:
        system: the system turn.
        user: the user turn, with `<image>` exactly where each picture stands.
        images: the pictures' references, in order; as many as there are `<image>`.
    """

    system: str
    user: str
    images: tuple[str, ...]

    def segments(self) -> Iterator[tuple[str, str | None]]:
        """Yields (text, picture that follows it or None), in order."""
        texts = self.user.split(IMAGE)
        assert len(texts) == len(self.images) + 1, "a user's text became a picture placeholder"
        yield from zip(texts, (*self.images, None), strict=True)
