from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colloquy.contracts.content import ImagePart, Part, TextPart, Utterance
from colloquy.engine.serving.ask import Limits
from colloquy.protocols import f2rvlm
from colloquy.protocols.f2rvlm import Prompt
from colloquy.servicekit.problems import TooLarge
from services.generator.cutting import Cutter

ROOMY = Limits(context_tokens=100_000, output_tokens=10_000, images=64, turns=100)
PER_IMAGE = 20


def dialogue(*texts: str, images: Sequence[int] = ()) -> list[Utterance]:
    turns = []
    for number, text in enumerate(texts):
        content: list[Part] = [TextPart(text=text)]
        count = images[number] if number < len(images) else 0
        content += [ImagePart.of(f"picture-{number}-{k}") for k in range(count)]
        turns.append(Utterance(id=number, speaker="a", content=content))
    return turns


def exact(prompt: Prompt) -> int:
    """A tokenizer that needs a fourth of the bound."""
    return len(prompt.user.encode()) // 4 + PER_IMAGE * len(prompt.images) // 2


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, prompt: Prompt) -> int:
        self.calls += 1
        return exact(prompt)


def cutter(turns: Sequence[Utterance], limits: Limits, count: Counting | None = None) -> Cutter:
    return Cutter(
        turns,
        limits,
        render=lambda some: f2rvlm.render_fragment(some, "query"),
        answer_tokens=lambda some: 5 * len(some) + 40,
        text_tokens=lambda text: len(text.encode()),
        image_tokens=lambda _: PER_IMAGE,
        count=count,
    )


async def test_what_fits_by_the_bound_is_not_counted() -> None:
    count = Counting()

    part = await cutter(dialogue("hello", "there"), ROOMY, count).slice_from(0)

    assert part.utterance_ids == [0, 1]
    assert count.calls == 0


async def test_counts_exactly_where_the_bound_does_not_fit() -> None:
    count = Counting()
    turns = dialogue(*["word " * 40] * 20)
    limits = Limits(context_tokens=2_000, output_tokens=500, images=64, turns=100)

    part = await cutter(turns, limits, count).slice_from(0)
    by_bound = await cutter(turns, limits).slice_from(0)

    assert len(part.turns) > 2 * len(by_bound.turns)
    assert exact(f2rvlm.render_fragment(part.turns, "query")) + 5 * len(part.turns) + 40 <= 2_000
    assert count.calls <= 4


async def test_a_slice_holds_no_more_pictures_than_the_engine_takes() -> None:
    limits = Limits(context_tokens=100_000, output_tokens=10_000, images=5, turns=100)
    turns = dialogue("a", "b", "c", "d", images=[2, 2, 2, 2])

    first = await cutter(turns, limits).slice_from(0)
    second = await cutter(turns, limits).slice_from(2)

    assert first.utterance_ids == [0, 1]
    assert (second.utterance_ids, second.first_image) == ([2, 3], 4)


async def test_a_slice_is_so_short_that_its_longest_answer_fits() -> None:
    limits = Limits(context_tokens=100_000, output_tokens=90, images=64, turns=100)

    part = await cutter(dialogue(*["a"] * 50), limits).slice_from(0)

    assert len(part.turns) == 10


async def test_a_turn_longer_than_the_context_is_trimmed_and_the_cut_is_known() -> None:
    limits = Limits(context_tokens=1_500, output_tokens=200, images=64, turns=100)
    turns = dialogue("short", "long " * 5_000, "short")
    cut = cutter(turns, limits, Counting())

    first = await cut.slice_from(0)
    assert (first.utterance_ids, cut.trimmed) == ([0], False)
    second = await cut.slice_from(1)

    assert cut.trimmed
    assert second.utterance_ids == [1]
    kept = next(second.turns[0].parts.__iter__())
    assert isinstance(kept, TextPart)
    assert 100 < len(kept.text) < 25_000
    assert exact(f2rvlm.render_fragment(second.turns, "query")) <= 1_500 - 45


async def test_pictures_beyond_the_limit_of_one_turn_are_left_out() -> None:
    limits = Limits(context_tokens=100_000, output_tokens=10_000, images=3, turns=100)
    cut = cutter(dialogue("many", images=[8]), limits)

    part = await cut.slice_from(0)

    assert cut.trimmed
    assert part.turns[0].images == ["picture-0-0", "picture-0-1", "picture-0-2"]


async def test_a_prompt_without_room_for_any_turn_is_refused() -> None:
    limits = Limits(context_tokens=100, output_tokens=50, images=4, turns=100)

    with pytest.raises(TooLarge):
        await cutter(dialogue("hello"), limits, Counting()).slice_from(0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 4)), min_size=1, max_size=12),
    st.integers(1_200, 4_000),
    st.booleans(),
)
async def test_whatever_is_cut_fits(
    shape: list[tuple[int, int]], context: int, counts: bool
) -> None:
    turns = dialogue(*["é" * length for length, _ in shape], images=[count for _, count in shape])
    limits = Limits(context_tokens=context, output_tokens=300, images=6, turns=5)
    cut = cutter(turns, limits, Counting() if counts else None)

    start = 0
    while start < len(turns):
        part = await cut.slice_from(start)
        assert part.turns[0].id == start
        assert part.image_count <= 6
        assert len(part.turns) <= 5
        room = context - (5 * len(part.turns) + 40)
        assert exact(f2rvlm.render_fragment(part.turns, "query")) <= room
        start = part.turns[-1].id + 1
