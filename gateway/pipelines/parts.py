"""A fragment as the content parts that a reranker is asked about."""

from collections.abc import Sequence

from colloquy.contracts.content import MAX_TEXT_CHARACTERS, ImagePart, TextPart, Utterance
from colloquy.protocols import lamra

_MAX_PARTS = 256


def fragment_parts(utterances: Sequence[Utterance]) -> list[TextPart | ImagePart]:
    """As LamRA is shown a fragment, with references for pictures.

    What is too long for one part is spread over several; the reranker trims to what its model
    holds, so the end of a fragment that has too many parts would not have been read either.
    """
    parts: list[TextPart | ImagePart] = []
    for piece in lamra.fragment_content(utterances):
        if isinstance(piece, lamra.Picture):
            parts.append(ImagePart.of(piece.ref))
            continue
        for start in range(0, len(piece), MAX_TEXT_CHARACTERS):
            parts.append(TextPart(text=piece[start : start + MAX_TEXT_CHARACTERS]))
    return parts[:_MAX_PARTS] or [TextPart(text="")]
