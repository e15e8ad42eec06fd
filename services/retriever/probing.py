"""Asking a checkpoint's own probes before it embeds for anybody.

A probe of an embedding checkpoint shows a fragment, in the words in which fragments are embedded;
that the engine answers with a vector of length 1 is what it proves. Whether the vectors are good is
what training measured.
"""

from collections.abc import Mapping

from colloquy.engine.client import EngineClient
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.engine.serving.pictures import WrittenPictures, engine_image, fit_all
from colloquy.media.failures import BadImage
from colloquy.media.headers import BrokenHeader, NotAnImage
from colloquy.profile import Task
from colloquy.protocols import lamra
from colloquy.registry.manifest import Probe

_TENANT = "probe"


class ProbeAsker:
    """Asks past the queue: nobody else is served by the model yet."""

    def __init__(
        self, client: EngineClient, tasks: Mapping[str, Task], pictures: WrittenPictures
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._pictures = pictures

    async def __call__(self, task: str, model: str, probe: Probe) -> bool:
        """Whether `model` gives a sound vector."""
        turns = probe.dialogue.utterances
        prompt = lamra.render_embedding(lamra.fragment_content(turns))
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
        await self._client.embed(request)  # refuses what is no vector of length 1
        return True
