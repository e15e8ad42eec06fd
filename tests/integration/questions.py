"""Questions for a real engine."""

import io
from collections.abc import Sequence

from PIL import Image

from colloquy.contracts.content import ImagePart, Part, TextPart, Utterance
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.protocols import f2rvlm
from training.data.world import splits
from training.data.world.pictures import draw

Pictures = dict[str, Image.Image]
# Without an end: the model has to be stopped.
ENDLESS = 'root ::= "1" root'


def picture(seed: int, size: tuple[int, int] = (112, 84)) -> Image.Image:
    """A picture whose every seed looks different."""
    drawn = Image.new("RGB", size, ((seed * 97) % 256, (seed * 57) % 256, (seed * 31) % 256))
    drawn.paste((255, 255, 255), (seed % 40, 10, seed % 40 + 30, 50))
    return drawn


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def turns(count: int, *, every: int = 4, first_seed: int = 0) -> tuple[list[Utterance], Pictures]:
    """A dialogue with a picture in each `every`-th turn."""
    pictures: Pictures = {}
    made = []
    for number in range(count):
        content: list[Part] = [TextPart(text=f"hello {number}, 你好 how are you")]
        if number % every == every - 1:
            url = f"picture-{number}"
            pictures[url] = picture(first_seed + number)
            content.append(ImagePart.of(url))
        made.append(Utterance(id=number, speaker=f"User{number % 2}", content=content))
    return made, pictures


def world(task: str, number: int) -> tuple[f2rvlm.Prompt, Pictures]:
    """A held-out question of the kind that the starter checkpoints were taught."""
    sample = splits.sample("test", number)
    pictures: Pictures = {}
    made = []
    for turn in sample.dialogue.turns:
        content: list[Part] = [TextPart(text=turn.text)] if turn.text else []
        if turn.picture is not None:
            url = f"picture-{len(pictures)}"
            pictures[url] = draw(turn.picture)
            content.append(ImagePart.of(url))
        made.append(Utterance(id=len(made), speaker=turn.speaker, content=content))
    if task == "split":
        return f2rvlm.render_split(made), pictures
    return f2rvlm.render_fragment(made, sample.queries[0].text), pictures


def content_of(prompt: f2rvlm.Prompt, pictures: Pictures) -> list[str | Image.Image]:
    content: list[str | Image.Image] = []
    for text, url in prompt.segments():
        content.append(text)
        if url is not None:
            content.append(pictures[url])
    return content


def request(
    model: str,
    system: str,
    content: Sequence[str | Image.Image],
    *,
    max_tokens: int = 24,
    grammar: str | None = None,
    tenant: str = "acme",
) -> GenerationRequest:
    return GenerationRequest(
        model=model,
        system=system,
        content=[
            piece if isinstance(piece, str) else EngineImage(png(piece), "image/png")
            for piece in content
        ],
        tenant=tenant,
        max_tokens=max_tokens,
        grammar=grammar,
    )
