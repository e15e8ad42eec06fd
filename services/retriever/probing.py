"""Asking a checkpoint's own probes before it embeds for anybody."""

from collections.abc import Mapping

from colloquy.engine.client import EngineClient
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.engine.serving.pictures import WrittenPictures, engine_image, fit_all
from colloquy.media.failures import BadImage
from colloquy.media.headers import BrokenHeader, NotAnImage
from colloquy.profile import Task
from colloquy.protocols import lamra
from colloquy.registry.manifest import AnyProbe, VectorProbe

_TENANT = "probe"
_LEAST_COSINE = 0.99


class ProbeAsker:
    """Asks past the queue: nobody else is served by the model yet."""

    def __init__(
        self, client: EngineClient, tasks: Mapping[str, Task], pictures: WrittenPictures
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._pictures = pictures

    async def __call__(self, task: str, model: str, probe: AnyProbe) -> bool:
        """Whether `model` gives the recorded vector, as near as bfloat16 comes."""
        if not isinstance(probe, VectorProbe):
            return False
        prompt = lamra.render_embedding(_content(probe))
        try:
            found = await fit_all(
                self._pictures, _TENANT, prompt.images, self._tasks[task].max_pixels
            )
        except (NotAnImage, BrokenHeader) as error:
            raise BadImage("a picture of the probe cannot be read") from error
        content: list[str | EngineImage] = []
        for text, url in prompt.segments():
            content.append(text)
            if url is not None:
                content.append(engine_image(found[url]))
        request = GenerationRequest(model, prompt.system, content, _TENANT, max_tokens=1)
        # Refuses what is no vector of length 1.
        told = (await self._client.embed(request)).vector
        if len(told) != len(probe.vector):
            return False
        return sum(a * b for a, b in zip(told, probe.vector, strict=True)) >= _LEAST_COSINE


def _content(probe: VectorProbe) -> lamra.Content:
    if probe.fragment is not None:
        return lamra.fragment_content(probe.fragment.utterances)
    if probe.image is not None:
        return [lamra.Picture(probe.image)]
    return [lamra.query_text(lamra.FRAGMENT_INSTRUCTION, probe.query or "")]
