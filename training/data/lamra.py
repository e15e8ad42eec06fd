"""The world's queries and fragments as LamRA's prompts."""

from collections.abc import Sequence

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Content, Picture
from colloquy.protocols.prompt import Prompt
from training.data.pairs import Query
from training.data.prompts import Example
from training.data.world.dialogues import Turn
from training.data.world.pictures import PictureSpec

FAMILY: lamra.Family = "qwen2-vl"


def query_content(query: Query) -> Content:
    """A query with the instruction of its task; its picture stands first."""
    text = lamra.query_text(lamra.FRAGMENT_INSTRUCTION, query.text)
    return [text] if query.picture is None else [Picture(query.picture.ref()), text]


def fragment_content(turns: Sequence[Turn]) -> Content:
    """A fragment as serving writes it."""
    utterances = []
    for number, turn in enumerate(turns):
        parts: list[TextPart | ImagePart] = [TextPart(text=turn.text)] if turn.text else []
        if turn.picture:
            parts.append(ImagePart.of(turn.picture.ref()))
        utterances.append(Utterance(id=number, speaker=turn.speaker, content=parts))
    return lamra.fragment_content(utterances)


def embedding(content: Content) -> Example:
    return _example(lamra.render_embedding(content), "", "embed")


def pointwise(query: Content, candidate: Content, answer: str) -> Example:
    return _example(lamra.render_pointwise(query, candidate, FAMILY), answer, "pointwise")


def listwise(query: Content, candidates: Sequence[Content], answer: str) -> Example:
    return _example(lamra.render_listwise(query, candidates, FAMILY), answer, "listwise")


def _example(prompt: Prompt, answer: str, kind: str) -> Example:
    pictures = tuple(PictureSpec.parse(ref) for ref in prompt.images)
    return Example(prompt.system, prompt.user, answer, pictures, kind)
