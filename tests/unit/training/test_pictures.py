"""Pictures of the world: a spec decides every pixel, and what it says can be seen."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from training.data.world import lexicon
from training.data.world.pictures import (
    PAPER,
    SIDE_PIXELS,
    PictureSpec,
    Position,
    Size,
    Style,
    draw,
)
from training.data.world.shapes import SHAPES
from training.data.world.sheet import main

Pixels = set[tuple[int, int]]
"""Places, x first."""
Wanted = Callable[[NDArray[np.int16]], NDArray[np.bool_]]
"""Of (height, width, 3) pixels, which are of a colour: (height, width)."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
IN_ONE_PIECE = ("egg", "pear", "key", "fork", "hammer", "mushroom", "sock", "banana")
BROAD = ("egg", "pear", "shirt", "bag", "bell", "pot")
seeds = st.integers(-(10**6), 10**6)


@st.composite
def specs(draw_from: st.DrawFn) -> PictureSpec:
    items, colours = st.sampled_from(sorted(SHAPES)), st.sampled_from(COLOURS)
    more: dict[str, Any] = draw_from(
        st.one_of(
            st.fixed_dictionaries(
                {"count": st.integers(1, 3), "size": st.sampled_from(get_args(Size))}
            ),
            st.fixed_dictionaries(
                {"size": st.just("small"), "position": st.sampled_from(get_args(Position))}
            ),
            st.fixed_dictionaries({"beside": st.tuples(items, colours)}),
        )
    )
    return PictureSpec(
        draw_from(items),
        draw_from(colours),
        draw_from(seeds),
        style=draw_from(st.sampled_from(get_args(Style))),
        text=draw_from(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", max_size=6)),
        **more,
    )


def red(pixels: NDArray[np.int16]) -> NDArray[np.bool_]:
    return pixels[..., 0] - pixels[..., 1:].max(axis=-1) > 60


def blue(pixels: NDArray[np.int16]) -> NDArray[np.bool_]:
    return pixels[..., 2] - pixels[..., :2].max(axis=-1) > 60


def found(picture: Image.Image, wanted: Wanted) -> Pixels:
    """Where the picture has a wanted colour; backgrounds and clutter are never red or blue."""
    rows, columns = np.nonzero(wanted(np.asarray(picture, dtype=np.int16)))
    return set(zip(columns.tolist(), rows.tolist(), strict=True))


def pieces(pixels: Pixels) -> list[Pixels]:
    """Groups that touch, corners included; specks left out."""
    rest, groups = set(pixels), []
    while rest:
        group, edge = set(), [rest.pop()]
        while edge:
            x, y = edge.pop()
            group.add((x, y))
            near = {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & rest
            rest -= near
            edge.extend(near)
        groups.append(group)
    return [group for group in groups if len(group) >= 12]


def sides(pixels: Pixels) -> tuple[int, int]:
    xs = [x for x, _ in pixels]
    return min(xs), max(xs)


@given(specs())
def test_what_ref_writes_parse_reads(spec: PictureSpec) -> None:
    assert " " not in spec.ref()
    assert PictureSpec.parse(spec.ref()) == spec


@settings(max_examples=40)
@given(specs())
def test_equal_specs_give_equal_pixels(spec: PictureSpec) -> None:
    one, other = draw(spec), draw(PictureSpec.parse(spec.ref()))
    assert one.size == (SIDE_PIXELS, SIDE_PIXELS)
    assert one.tobytes() == other.tobytes()


def test_every_field_changes_the_pixels() -> None:
    plain = PictureSpec("cup", "green", 3, size="small")
    others = [
        PictureSpec("cup", "green", 4, size="small"),
        PictureSpec("cup", "brown", 3, size="small"),
        PictureSpec("pot", "green", 3, size="small"),
        PictureSpec("cup", "green", 3, size="small", count=2),
        PictureSpec("cup", "green", 3, size="small", style="dotted"),
        PictureSpec("cup", "green", 3),
        PictureSpec("cup", "green", 3, size="small", position="left"),
        PictureSpec("cup", "green", 3, size="small", text="7"),
        PictureSpec("cup", "green", 3, size="small", text="8"),
        PictureSpec("cup", "green", 3, beside=("pot", "red")),
    ]
    drawn = {draw(spec).tobytes() for spec in (plain, *others)}
    assert len(drawn) == 1 + len(others)


@pytest.mark.parametrize("item", SHAPES)
def test_every_thing_shows_its_colour_in_every_style(item: str) -> None:
    for style in get_args(Style):
        for count in (1, 2, 3):
            pixels = found(draw(PictureSpec(item, "red", 5, count=count, style=style)), red)
            assert len(pixels) > 0.02 * SIDE_PIXELS**2


@pytest.mark.parametrize("item", SHAPES)
def test_every_thing_keeps_to_its_square(item: str) -> None:
    assert re.fullmatch("[a-z]+", item)
    for shape in SHAPES[item]:
        assert all(0 <= at <= 1 for at in shape.points)


def test_no_two_things_have_the_same_shape() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)


@settings(max_examples=40)
@given(
    st.sampled_from(IN_ONE_PIECE),
    seeds,
    st.integers(1, 3),
    st.sampled_from(get_args(Size)),
    st.sampled_from(("", "4081")),
)
def test_as_many_things_are_seen_as_are_counted(
    item: str, seed: int, count: int, size: Size, text: str
) -> None:
    picture = draw(PictureSpec(item, "red", seed, count=count, size=size, text=text))
    assert len(pieces(found(picture, red))) == count


@settings(max_examples=20)
@given(st.sampled_from(IN_ONE_PIECE), seeds, st.sampled_from(get_args(Position)))
def test_a_small_thing_stands_where_its_position_says(
    item: str, seed: int, position: Position
) -> None:
    small = draw(PictureSpec(item, "blue", seed, size="small", position=position))
    left, right = sides(found(small, blue))
    third = SIDE_PIXELS / 3
    place = get_args(Position).index(position)
    assert place * third <= (left + right) / 2 <= (place + 1) * third
    assert right - left <= SIDE_PIXELS / 2


@pytest.mark.parametrize("item", BROAD)
@pytest.mark.parametrize("style", ["striped", "dotted"])
def test_a_pattern_covers_part_of_the_colour(item: str, style: Style) -> None:
    def coloured(style: Style) -> float:
        """The share of the colour in the box around it, over some pictures."""
        shares = []
        for seed in range(6):
            picture = draw(PictureSpec(item, "red", seed, style=style))
            pixels = found(picture, red)
            (left, right), (top, bottom) = sides(pixels), sides({(y, x) for x, y in pixels})
            shares.append(len(pixels) / ((right - left + 1) * (bottom - top + 1)))
        return sum(shares) / len(shares)

    assert 0.35 < coloured(style) / coloured("plain") < 0.92


@settings(max_examples=20)
@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=6), seeds)
def test_a_text_stands_on_a_tag_in_letters_of_twelve_pixels(text: str, seed: int) -> None:
    picture = draw(PictureSpec("car", "blue", seed, text=text))
    tag = found(picture, lambda pixels: (pixels == PAPER).all(axis=-1))
    left, right = sides(tag)
    top, bottom = sides({(y, x) for x, y in tag})
    assert min(left, SIDE_PIXELS - 1 - right) <= 4, "in a corner"
    assert min(top, SIDE_PIXELS - 1 - bottom) <= 4, "in a corner"
    dark = {
        (y, x)
        for x, y in found(picture, lambda pixels: pixels.max(axis=-1) < 150)
        if left <= x <= right and top < y < bottom
    }
    first, last = sides(dark)
    assert last - first + 1 >= 12
    assert not {
        at for at in found(picture, blue) if left <= at[0] <= right and top <= at[1] <= bottom
    }


@settings(max_examples=20)
@given(st.sampled_from(IN_ONE_PIECE), st.sampled_from(IN_ONE_PIECE), seeds)
def test_the_thing_beside_is_smaller_and_apart(item: str, other: str, seed: int) -> None:
    picture = draw(PictureSpec(item, "red", seed, beside=(other, "blue")))
    (red_left, red_right), (blue_left, blue_right) = (
        sides(found(picture, colour)) for colour in (red, blue)
    )
    assert red_right < blue_left or blue_right < red_left
    same = draw(PictureSpec(item, "red", seed, beside=(item, "blue")))
    assert len(found(same, blue)) < len(found(same, red))


def test_both_sides_of_a_scene_occur() -> None:
    def is_left(seed: int) -> bool:
        picture = draw(PictureSpec("egg", "red", seed, beside=("egg", "blue")))
        return sides(found(picture, red)) < sides(found(picture, blue))

    assert {is_left(seed) for seed in range(20)} == {True, False}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"item": "dragon"}, "item"),
        ({"colour": "beige"}, "colour"),
        ({"count": 0}, "count"),
        ({"count": 4}, "count"),
        ({"style": "checked"}, "style"),
        ({"size": "huge"}, "size"),
        ({"size": "small", "position": "top"}, "position"),
        ({"position": "left"}, "position"),
        ({"size": "small", "position": "left", "count": 2}, "position"),
        ({"text": "low"}, "text"),
        ({"text": "A-1"}, "text"),
        ({"text": "1234567"}, "text"),
        ({"beside": ("dragon", "red")}, "beside: item"),
        ({"beside": ("cat", "beige")}, "beside: colour"),
        ({"beside": ("cat",)}, "beside"),
        ({"beside": ("cat", "red"), "count": 2}, "beside"),
        ({"beside": ("cat", "red"), "size": "small"}, "beside"),
    ],
)
def test_there_is_no_spec_of_an_impossible_picture(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} "):
        PictureSpec(**{"item": "cat", "colour": "red", "seed": 1} | fields)


@pytest.mark.parametrize(
    ("ref", "named"),
    [
        ("", "nine fields"),
        ("cat-red-1", "nine fields"),
        ("cat-red-1-1-plain-large-middle", "nine fields"),
        ("dragon-red-1-1-plain-large-middle--", "item"),
        ("cat-red-x-1-plain-large-middle--", "seed"),
        ("cat-red-01-1-plain-large-middle--", "seed"),
        ("cat-red--0-1-plain-large-middle--", "seed"),
        ("cat-red- 1-1-plain-large-middle--", "seed"),
        ("cat-red-1-٣-plain-large-middle--", "count"),
        ("cat-red-1-4-plain-large-middle--", "count"),
        ("cat-red-1-1-plain-large-left--", "position"),
        ("cat-red-1-1-plain-large-middle-a-", "text"),
        ("cat-red-1-1-plain-large-middle--cat", "beside"),
        ("cat-red-1-1-plain-large-middle--cat.red.1", "beside"),
        ("cat-red-1-1-plain-large-middle---", "seed"),
    ],
)
def test_a_wrong_ref_is_refused_by_the_place(ref: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"^no picture: .*{named}"):
        PictureSpec.parse(ref)


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_no_other_words_are_read(ref: str) -> None:
    try:
        spec = PictureSpec.parse(ref)
    except ValueError:
        return
    assert spec.ref() == ref


@settings(max_examples=50)
@given(specs(), st.integers(0, 10**6))
def test_a_bent_ref_is_refused_or_is_another_spec(spec: PictureSpec, seed: int) -> None:
    rng = random.Random(seed)
    ref = list(spec.ref())
    ref[rng.randrange(len(ref))] = rng.choice("-.0A a7é")
    try:
        other = PictureSpec.parse("".join(ref))
    except ValueError:
        return
    assert other.ref() == "".join(ref)


def test_the_sheet_is_written_with_room_for_every_thing(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert main([str(out)]) == 0
    with Image.open(out) as sheet:
        assert sheet.width <= 1200, "it stands in a page of text"
        assert sheet.width * sheet.height > len(SHAPES) * (SIDE_PIXELS + 10) ** 2


def test_the_lexicon_has_the_colours_that_these_tests_draw() -> None:
    assert set(COLOURS) <= set(lexicon.load().colours)
