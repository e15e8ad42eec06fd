"""Which utterances and pictures of a dialogue answer a query."""

from collections.abc import Sequence
from dataclasses import replace

from colloquy.contracts.content import Utterance
from colloquy.contracts.generation import FragmentAnswer, FragmentTask
from colloquy.engine.failures import PromptTooLong
from colloquy.engine.requests import Generation
from colloquy.engine.serving.ask import Inquiry, TaskModel
from colloquy.protocols import f2rvlm
from colloquy.protocols.f2rvlm import Answer, Malformed, Prompt, Slice
from colloquy.servicekit.problems import UpstreamMalformed
from services.generator.cutting import Cutter
from services.generator.domain import (
    IDS_DROPPED,
    TRIMMED,
    all_or_first_failure,
    usage_of,
)
from services.generator.metrics import Metrics
from services.generator.settings import Tuning

TASK = "fragment"
# Where tokens are only estimated, the engine may refuse a prompt: then with this much less.
_SHRINK = (1.0, 0.6, 0.35)


class RetrieveFragment:
    """The use case."""

    def __init__(self, model: TaskModel, tuning: Tuning, metrics: Metrics) -> None:
        self._model = model
        self._tuning = tuning
        self._metrics = metrics

    async def __call__(self, task: FragmentTask) -> FragmentAnswer:
        name = self._model.name
        inquiry = await self._model.open(task.tenant, task.dialogue.images)
        slices, trimmed, told = await self._ask_slices(inquiry, task)
        self._metrics.slices.labels(TASK).observe(len(slices))
        answers = [self._read(generation) for generation in told]
        merged = f2rvlm.merge_answers(list(zip(slices, answers, strict=True)))
        degraded = [TRIMMED] if trimmed else []
        if any(_names_unknown(part, said) for part, said in zip(slices, answers, strict=True)):
            degraded.append(IDS_DROPPED)
        return FragmentAnswer(
            utterance_ids=list(merged.utterance_ids),
            image_ids=list(merged.image_ids),
            model=name,
            degraded=degraded,
            usage=usage_of(told),
        )

    async def _ask_slices(
        self, inquiry: Inquiry, task: FragmentTask
    ) -> tuple[list[Slice], bool, list[Generation]]:
        for share in _SHRINK:
            slices, trimmed = await self._cut(inquiry, task, share)
            try:
                told = await all_or_first_failure(
                    [self._ask(inquiry, part, task.query) for part in slices],
                    at_once=self._tuning.slices_at_once,
                )
            except PromptTooLong:
                if share == _SHRINK[-1]:
                    raise
            else:
                return slices, trimmed, told
        raise AssertionError

    async def _cut(
        self, inquiry: Inquiry, task: FragmentTask, share: float
    ) -> tuple[list[Slice], bool]:
        """Slices that overlap, so that a fragment across a cut is seen whole by one of them."""
        turns = task.dialogue.utterances
        limits = self._model.limits
        cutter = Cutter(
            turns,
            replace(limits, context_tokens=int(limits.context_tokens * share)),
            render=lambda some: f2rvlm.render_fragment(some, task.query),
            answer_tokens=self._answer_tokens,
            text_tokens=self._model.text_tokens,
            image_tokens=lambda url: self._model.image_tokens(inquiry, url),
            count=self._model.counter(inquiry),
        )
        slices = [await cutter.slice_from(0)]
        while (end := slices[-1].turns[-1].id + 1) < len(turns):
            overlap = min(self._tuning.overlap_turns, len(slices[-1].turns) // 2)
            slices.append(await self._next_slice(cutter, end, overlap))
        return slices, cutter.trimmed

    async def _next_slice(self, cutter: Cutter, end: int, overlap: int) -> Slice:
        part = await cutter.slice_from(end - overlap)
        if part.turns[-1].id < end:  # the overlap alone filled it: it would go round in circles
            part = await cutter.slice_from(end)
        return part

    async def _ask(self, inquiry: Inquiry, part: Slice, query: str) -> Generation:
        prompt: Prompt = f2rvlm.render_fragment(part.turns, query)
        grammar = (
            None
            if self._model.tolerant
            else f2rvlm.fragment_grammar(part.utterance_ids, part.image_count)
        )
        return await self._model.ask(inquiry, prompt, grammar, self._answer_tokens(part.turns))

    def _answer_tokens(self, turns: Sequence[Utterance]) -> int:
        """The longest answer, which names every turn and picture: no token is less than a byte."""
        if self._model.tolerant:
            return self._model.limits.output_tokens
        images = sum(len(turn.images) for turn in turns)
        longest = f2rvlm.format_answer([turn.id for turn in turns], range(images))
        return len(longest) + 1

    def _read(self, generation: Generation) -> Answer:
        if not generation.complete:
            raise UpstreamMalformed("the model's answer was cut by the limit of its length")
        try:
            return f2rvlm.parse_answer(generation.text)
        except Malformed as error:
            # Without a single list it says nothing, which is not the same as finding nothing.
            if self._model.tolerant and "<|utt_ids_start|>" in generation.text:
                return f2rvlm.parse_answer_tolerant(generation.text)
            raise UpstreamMalformed("the model's answer does not name utterances") from error


def _names_unknown(part: Slice, answer: Answer) -> bool:
    unknown = set(answer.utterance_ids) - set(part.utterance_ids)
    return bool(unknown) or any(image >= part.image_count for image in answer.image_ids)
