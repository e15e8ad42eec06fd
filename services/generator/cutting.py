"""How much of a dialogue one prompt can hold: by turns, pictures and tokens."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.engine.serving.ask import Limits
from colloquy.protocols.f2rvlm import Prompt, Slice
from colloquy.servicekit.problems import TooLarge

# The chat template's own tokens: turns, roles, the opening of the answer.
_TEMPLATE_TOKENS = 64
_MOST_COUNTS = 4
_MARGIN = 1.03


@dataclass(slots=True)
class Cutter:
    """Cuts one dialogue.

    A bound that is never too low and costs nothing decides when a prompt fits by it; only else the
    engine's tokenizer counts exactly.

    Args:
        render: the prompt over some turns.
        answer_tokens: the longest answer over these turns, in tokens, never too low.
        text_tokens: tokens of a text, never too low.
        image_tokens: tokens of a picture by its reference, never too low.
        count: exact tokens of a prompt; None where the engine cannot count.
    """

    turns: Sequence[Utterance]
    limits: Limits
    render: Callable[[Sequence[Utterance]], Prompt]
    answer_tokens: Callable[[Sequence[Utterance]], int]
    text_tokens: Callable[[str], int]
    image_tokens: Callable[[str], int]
    count: Callable[[Prompt], Awaitable[int]] | None
    trimmed: bool = False
    _fixed: int = field(init=False)
    _without_turns: int = field(init=False)
    _costs: list[int] = field(init=False)
    _first_images: list[int] = field(init=False)
    # Exact tokens for one of the bound, as the last count had it; the first is tried without.
    _density: float = 0.0

    def __post_init__(self) -> None:
        empty = self.render([])
        self._fixed = self.text_tokens(empty.system + empty.user) + _TEMPLATE_TOKENS
        self._without_turns = self.text_tokens(empty.user)
        self._costs = [self._cost(turn) for turn in self.turns]
        self._first_images = [0]
        for turn in self.turns:
            self._first_images.append(self._first_images[-1] + len(turn.images))

    async def slice_from(self, start: int) -> Slice:
        """The longest run of turns from `start` that fits; a turn too long by itself is trimmed.

        Raises:
            TooLarge: not even an empty turn fits beside the rest of the prompt.
        """
        most = self._most_turns(start)
        size = await self._longest(start, most) if most else 0
        if size:
            return Slice(tuple(self.turns[start : start + size]), self._first_images[start])
        self.trimmed = True
        return Slice((await self._trim(self.turns[start]),), self._first_images[start])

    async def _longest(self, start: int, most: int) -> int:
        sure = self._by_bound(start, most, density=1.0)
        if sure == most or self.count is None:
            return sure
        wanted = self._by_bound(start, most, self._density * _MARGIN) or 1
        for _ in range(_MOST_COUNTS):
            if wanted <= sure:
                return sure
            turns = self.turns[start : start + wanted]
            exact = await self.count(self.render(turns))
            self._density = exact / self._bound(start, wanted)
            if exact <= self._room(turns):
                return wanted
            wanted = min(wanted - 1, self._by_bound(start, wanted, self._density * _MARGIN))
        return sure

    def _by_bound(self, start: int, most: int, density: float) -> int:
        """The most turns whose bound, scaled by `density`, fits."""
        for size in range(most, 0, -1):
            room = self._room(self.turns[start : start + size])
            if self._bound(start, size) * density <= room:
                return size
        return 0

    def _bound(self, start: int, size: int) -> int:
        return self._fixed + sum(self._costs[start : start + size])

    def _room(self, turns: Sequence[Utterance]) -> int:
        return self.limits.context_tokens - self.answer_tokens(turns)

    def _most_turns(self, start: int) -> int:
        """By everything but tokens of the prompt."""
        limits = self.limits
        size = min(limits.turns, len(self.turns) - start)
        while size:
            turns = self.turns[start : start + size]
            images = self._first_images[start + size] - self._first_images[start]
            if images <= limits.images and self.answer_tokens(turns) <= limits.output_tokens:
                break
            size -= 1
        return size

    def _cost(self, turn: Utterance) -> int:
        text = self.text_tokens(self.render([turn]).user) - self._without_turns
        # One more for the line break before the next turn.
        return max(0, text) + 1 + sum(self.image_tokens(image) for image in turn.images)

    async def _trim(self, turn: Utterance) -> Utterance:
        """The beginning of a turn: as many pictures as may be, then as much text as fits."""
        images = min(len(turn.images), self.limits.images)
        while True:
            characters: int | None = None
            while True:
                part = _beginning(turn, images=images, characters=characters)
                tokens, room = await self._tokens(part), self._room([part])
                if tokens <= room and self.answer_tokens([part]) <= self.limits.output_tokens:
                    return part
                length = sum(len(text) for text in _texts(part))
                if length == 0:
                    break
                fixed = await self._tokens(_beginning(part, images=images, characters=0))
                share = max(0.0, (room - fixed) / max(1, tokens - fixed))
                characters = min(length - 1, int(length * share * 0.95))
            if images == 0:
                raise TooLarge("the query leaves no room for the dialogue in the model's context")
            images //= 2

    async def _tokens(self, turn: Utterance) -> int:
        bound = self._fixed + self._cost(turn)
        if self.count is None or bound <= self._room([turn]):
            return bound
        return await self.count(self.render([turn]))


def _texts(turn: Utterance) -> list[str]:
    return [part.text for part in turn.parts if isinstance(part, TextPart)]


def _beginning(turn: Utterance, *, images: int, characters: int | None) -> Utterance:
    """`turn` with its first pictures and the first characters of its text; None keeps all text."""
    parts: list[TextPart | ImagePart] = []
    left = sum(len(text) for text in _texts(turn)) if characters is None else characters
    for part in turn.parts:
        if isinstance(part, ImagePart):
            if images:
                parts.append(part)
                images -= 1
        elif left:
            parts.append(TextPart(text=part.text[:left]))
            left -= len(parts[-1].text)  # type: ignore[union-attr]
    return turn.model_copy(update={"content": parts or ""})
