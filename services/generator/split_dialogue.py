"""Cutting a dialogue into its topics."""

from collections.abc import Sequence
from dataclasses import replace

from colloquy.contracts.content import Utterance
from colloquy.contracts.generation import SplitAnswer, SplitTask
from colloquy.engine.failures import PromptTooLong
from colloquy.engine.requests import Generation
from colloquy.engine.serving.ask import Inquiry, TaskModel
from colloquy.protocols import f2rvlm
from colloquy.protocols.f2rvlm import Malformed, Slice
from colloquy.servicekit.problems import UpstreamMalformed
from services.generator.cutting import Cutter
from services.generator.domain import IDS_DROPPED, TRIMMED, usage_of
from services.generator.metrics import Metrics

TASK = "split"
_SHRINK = (1.0, 0.6, 0.35)


class SplitDialogue:
    """The use case."""

    def __init__(self, model: TaskModel, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics

    async def __call__(self, task: SplitTask) -> SplitAnswer:
        name = self._model.name
        inquiry = await self._model.open(task.tenant, task.dialogue.images)
        for share in _SHRINK:
            try:
                return await self._split(inquiry, task, name, share)
            except PromptTooLong:  # only where tokens are estimated
                if share == _SHRINK[-1]:
                    raise
        raise AssertionError

    async def _split(
        self, inquiry: Inquiry, task: SplitTask, name: str, share: float
    ) -> SplitAnswer:
        turns = task.dialogue.utterances
        cutter = self._cutter(inquiry, turns, share)
        join = Join()
        told: list[Generation] = []
        dropped = False
        while join.position < len(turns):
            part = await cutter.slice_from(join.position)
            told.append(await self._ask(inquiry, part))
            groups, unknown = self._read(told[-1], part)
            dropped = dropped or unknown
            join.add(groups, part.utterance_ids, is_last=part.turns[-1].id + 1 == len(turns))
        self._metrics.slices.labels(TASK).observe(len(told))
        degraded = [TRIMMED] if cutter.trimmed else []
        return SplitAnswer(
            fragments=sorted(join.fragments),
            model=name,
            degraded=[*degraded, IDS_DROPPED] if dropped else degraded,
            usage=usage_of(told),
        )

    def _cutter(self, inquiry: Inquiry, turns: Sequence[Utterance], share: float) -> Cutter:
        limits = self._model.limits
        return Cutter(
            turns,
            replace(limits, context_tokens=int(limits.context_tokens * share)),
            render=f2rvlm.render_split,
            answer_tokens=self._answer_tokens,
            text_tokens=self._model.text_tokens,
            image_tokens=lambda url: self._model.image_tokens(inquiry, url),
            count=self._model.counter(inquiry),
        )

    async def _ask(self, inquiry: Inquiry, part: Slice) -> Generation:
        grammar = None if self._model.tolerant else f2rvlm.split_grammar(part.utterance_ids)
        prompt = f2rvlm.render_split(part.turns)
        return await self._model.ask(inquiry, prompt, grammar, self._answer_tokens(part.turns))

    def _answer_tokens(self, turns: Sequence[Utterance]) -> int:
        """The longest answer, which puts every turn by itself."""
        if self._model.tolerant:
            return self._model.limits.output_tokens
        return len(f2rvlm.format_split([[turn.id] for turn in turns])) + 1

    def _read(self, generation: Generation, part: Slice) -> tuple[list[list[int]], bool]:
        """The slice's fragments, and whether ids that do not exist were dropped."""
        if not generation.complete:
            raise UpstreamMalformed("the model's answer was cut by the limit of its length")
        text = generation.text
        if self._model.tolerant:  # such a model may talk around its answer
            text = text[text.find("[[") : text.rfind("]") + 1]
        try:
            told = f2rvlm.parse_split(text)
        except Malformed as error:
            raise UpstreamMalformed("the model's answer is not a split") from error
        known = set(part.utterance_ids)
        groups = [[i for i in group if i in known] for group in told]
        dropped = groups != told
        groups = f2rvlm.with_tail(groups, part.utterance_ids)
        if not f2rvlm.is_partition(groups, part.utterance_ids):
            raise UpstreamMalformed("the model's split does not hold every utterance once")
        return [sorted(group) for group in groups if group], dropped


class Join:
    """Puts the splits of consecutive slices together.

    A slice's last fragment may go on behind the slice. So it is decided anew: the next slice begins
    where that fragment began, and what was decided before it stays.
    """

    def __init__(self) -> None:
        self.fragments: list[list[int]] = []
        self.position = 0
        # The beginning of the fragment that goes on at `position`.
        self._open: list[int] = []

    def add(self, groups: list[list[int]], ids: list[int], *, is_last: bool) -> None:
        """Takes the fragments of the slice over `ids`, which began at `position`."""
        first = next(group for group in groups if ids[0] in group)
        groups = [group for group in groups if group is not first]
        groups.append(self._open + first)
        self._open = []
        if is_last:
            self.fragments += groups
            self.position = ids[-1] + 1
            return
        last = next(group for group in groups if ids[-1] in group)
        if last[0] > ids[0]:
            again = last[0]
        elif len(ids) > 1:
            # One topic fills the slice: go on from its middle, which belongs to it.
            again = ids[len(ids) // 2]
            self._open = [i for i in last if i < again]
            groups = [group for group in groups if group is not last]
        else:
            again = ids[-1] + 1
        decided = ([i for i in group if i < again] for group in groups)
        self.fragments += [group for group in decided if group]
        self.position = again
