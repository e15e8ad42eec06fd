"""Asking a checkpoint's own probes: a query, a fragment, and how likely it answers."""

from collections.abc import Mapping, Sequence

from colloquy.engine.client import EngineClient
from colloquy.engine.requests import EngineImage, FirstToken, GenerationRequest
from colloquy.engine.serving.pictures import WrittenPictures, engine_image, fit_all
from colloquy.media.failures import BadImage
from colloquy.media.headers import BrokenHeader, NotAnImage
from colloquy.profile import Task
from colloquy.protocols import lamra
from colloquy.registry.manifest import AnyProbe, JudgementProbe
from services.reranker.answers import read_answers

_TENANT = "probe"
_MOST_APART = 0.05


class ProbeAsker:
    """Asks past the queue: nobody else is served by the model yet."""

    def __init__(
        self, client: EngineClient, tasks: Mapping[str, Task], pictures: WrittenPictures
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._pictures = pictures

    async def __call__(self, task: str, model: str, probe: AnyProbe) -> bool:
        """Whether `model` gives the recorded probability, as near as bfloat16 comes."""
        if not isinstance(probe, JudgementProbe):
            return False
        binding = self._tasks[task]
        tokens = await read_answers(lambda text: self._client.token_ids(model, text))
        prompt = lamra.render_pointwise(
            [lamra.query_text(lamra.FRAGMENT_INSTRUCTION, probe.query)],
            lamra.fragment_content(probe.fragment.utterances),
            binding.family,
        )
        max_pixels = min(binding.max_pixels, lamra.MAX_PIXELS)
        try:
            found = await fit_all(self._pictures, _TENANT, prompt.images, max_pixels)
        except (NotAnImage, BrokenHeader) as error:
            raise BadImage("a picture of the probe cannot be read") from error
        content: list[str | EngineImage] = []
        for text, url in prompt.segments():
            content.append(text)
            if url is not None:
                content.append(engine_image(found[url]))
        request = GenerationRequest(
            model=model, system=prompt.system, content=content, tenant=_TENANT, max_tokens=1
        )

        async def first_token(_: str, token_ids: Sequence[int]) -> FirstToken:
            return await self._client.first_token(request, token_ids)

        (p_yes,), _ = await tokens.p_yes(first_token)
        return abs(p_yes - probe.p_yes) <= _MOST_APART
