"""Asking a checkpoint's own probes: the published prompt, greedy, under the grammar.

A checkpoint so weak that its recorded answer lacks the published form cannot be held to it, since
its choices are ties; that it answers at all is what its probe shows.
"""

from collections.abc import Mapping

from colloquy.engine.client import EngineClient
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.engine.serving.pictures import WrittenPictures, engine_image, fit_all
from colloquy.media.failures import BadImage
from colloquy.media.headers import BrokenHeader, NotAnImage
from colloquy.profile import Task
from colloquy.protocols import f2rvlm
from colloquy.registry.manifest import AnyProbe, Probe

_TENANT = "probe"


class ProbeAsker:
    """Asks past the queue: nobody else is served by the model yet."""

    def __init__(
        self, client: EngineClient, tasks: Mapping[str, Task], pictures: WrittenPictures
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._pictures = pictures

    async def __call__(self, task: str, model: str, probe: AnyProbe) -> bool:
        """Whether `model` answers as recorded; what is recorded of another kind of task is not."""
        if not isinstance(probe, Probe):
            return False
        binding = self._tasks[task]
        turns = probe.dialogue.utterances
        ids, images = [turn.id for turn in turns], probe.dialogue.images
        if task == "split":
            prompt, grammar = f2rvlm.render_split(turns), f2rvlm.split_grammar(ids)
            admitted = _is_split(probe.expected, ids)
        else:
            prompt = f2rvlm.render_fragment(turns, probe.query or "")
            grammar = f2rvlm.fragment_grammar(ids, len(images))
            admitted = _is_answer(probe.expected, ids, len(images))
        try:
            found = await fit_all(self._pictures, _TENANT, images, binding.max_pixels)
        except (NotAnImage, BrokenHeader) as error:
            raise BadImage("a picture of the probe cannot be read") from error
        content: list[str | EngineImage] = []
        for text, url in prompt.segments():
            content.append(text)
            if url is not None:
                content.append(engine_image(found[url]))
        request = GenerationRequest(
            model=model,
            system=prompt.system,
            content=content,
            tenant=_TENANT,
            max_tokens=binding.max_output_tokens,
            grammar=None if binding.tolerant else grammar,
        )
        answer = await self._client.generate(request)
        return answer.text == probe.expected or not admitted


def _is_answer(text: str, ids: list[int], images: int) -> bool:
    try:
        answer = f2rvlm.parse_answer(text)
    except f2rvlm.Malformed:
        return False
    known = set(answer.utterance_ids) <= set(ids) and set(answer.image_ids) <= set(range(images))
    ascending = all(
        list(told) == sorted(set(told)) for told in (answer.utterance_ids, answer.image_ids)
    )
    return known and ascending


def _is_split(text: str, ids: list[int]) -> bool:
    try:
        return [i for fragment in f2rvlm.parse_split(text) for i in fragment] == ids
    except f2rvlm.Malformed:
        return False
