"""Candidates that are too long for the model's context lose lines from their ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from colloquy.engine.serving.ask import Inquiry, TaskModel
from colloquy.protocols.lamra import Content, Picture
from colloquy.protocols.prompt import Prompt
from colloquy.servicekit.problems import TooLarge
from services.reranker.contents import beginning, pictures_of, without_last_picture

TRIMMED = "candidate-trimmed"
# The chat template's own tokens, and those of the answer: `Ans: (10)` at most.
_TEMPLATE_TOKENS = 64
_ANSWER_TOKENS = 16
_MOST_COUNTS = 5
_CLOSER = 0.97


@dataclass(frozen=True, slots=True)
class Fitted:
    """Attributes:
    prompt: fits the context.
    trimmed: something was left out of it.
    """

    prompt: Prompt
    trimmed: bool


class Trimmer:
    """Fits the candidates of one prompt.

    A bound that is never too low and costs nothing decides when a prompt fits by it; only else the
    engine's tokenizer counts exactly. All candidates of a list are cut to one length, so the short
    ones stay whole.

    Args:
        render: the prompt over the candidates.
    """

    def __init__(
        self, model: TaskModel, inquiry: Inquiry, render: Callable[[Sequence[Content]], Prompt]
    ) -> None:
        self._model = model
        self._inquiry = inquiry
        self._render = render
        self._count = model.counter(inquiry)
        self._room = model.limits.context_tokens - _ANSWER_TOKENS

    async def fit(self, candidates: Sequence[Content]) -> Fitted:
        """Renders `candidates`, or as much of each as fits.

        Raises:
            TooLarge: the query alone leaves no room.
        """
        shown = self._within_pictures(candidates)
        prompt = self._render(shown)
        trimmed = shown != list(candidates)
        if self._bound(prompt) <= self._room:
            return Fitted(prompt, trimmed)
        tokens = await self._tokens(prompt)
        if tokens <= self._room:
            return Fitted(prompt, trimmed)
        return Fitted(await self._shortened(shown, tokens / self._bound(prompt)), True)

    def _within_pictures(self, candidates: Sequence[Content]) -> list[Content]:
        shown = list(candidates)
        counts = [len(pictures_of(content)) for content in shown]
        room = self._model.limits.images - (len(self._render(shown).images) - sum(counts))
        if room < 0:
            raise TooLarge("the query has more pictures than the model takes")
        while sum(counts) > room:
            # The last of those with the most, so that the first candidates keep theirs longest.
            place = max(range(len(shown)), key=lambda place: (counts[place], place))
            shown[place] = without_last_picture(shown[place])
            counts[place] -= 1
        return shown

    async def _shortened(self, shown: Sequence[Content], density: float) -> Prompt:
        """`density`: exact tokens for one of the bound, as the last count had it."""
        fixed = self._bound(self._render([[] for _ in shown]))
        costs = [sum(map(self._cost, content)) for content in shown]
        for _ in range(_MOST_COUNTS):
            cap = shared_cap(costs, int(self._room / density * _CLOSER) - fixed)
            if cap <= 0:
                break
            prompt = self._cut(shown, cap)
            tokens = await self._tokens(prompt)
            if tokens <= self._room:
                return prompt
            density = max(density / _CLOSER, tokens / self._bound(prompt))
        raise TooLarge("the query leaves no room for a candidate in the model's context")

    def _cut(self, shown: Sequence[Content], cap: int) -> Prompt:
        return self._render([beginning(content, cap, self._cost) for content in shown])

    def _cost(self, unit: str | Picture) -> int:
        if isinstance(unit, Picture):
            return self._model.image_tokens(self._inquiry, unit.ref)
        return self._model.text_tokens(unit)

    def _bound(self, prompt: Prompt) -> int:
        pictures = sum(self._model.image_tokens(self._inquiry, ref) for ref in prompt.images)
        return self._model.text_tokens(prompt.system + prompt.user) + pictures + _TEMPLATE_TOKENS

    async def _tokens(self, prompt: Prompt) -> int:
        return self._bound(prompt) if self._count is None else await self._count(prompt)


def shared_cap(costs: Sequence[int], room: int) -> int:
    """The largest cap at which costs, each cut down to it, add up to no more than `room`."""
    left = max(0, room)
    for place, cost in enumerate(ordered := sorted(costs)):
        share = left // (len(ordered) - place)
        if cost > share:
            return share
        left -= cost
    return max(costs, default=0)
