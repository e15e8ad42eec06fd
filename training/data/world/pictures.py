"""Draws the things of the world: one small RGB picture for everything that a spec says."""

import io
import random
import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast, get_args

from PIL import Image, ImageChops, ImageDraw, ImageFont

from training.data.world import lexicon
from training.data.world.shapes import SHAPES
from training.data.world.shapes.marks import paint

SIDE_PIXELS = 84
OVERSAMPLING = 3
MAX_COUNT = 3
MAX_TEXT = 6
DARK = (40, 40, 46)
LIGHT = (250, 250, 246)
PAPER = (255, 252, 236)

_CANVAS = SIDE_PIXELS * OVERSAMPLING
_APART = 0.04  # of the side, between two things
_TEXT_SIGNS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TEXT_PIXELS = 12  # height of a digit in the picture
_TAG_PIXELS = _TEXT_PIXELS + 6

Style = Literal["plain", "striped", "dotted"]
Size = Literal["large", "small"]
Position = Literal["left", "middle", "right"]
Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """Everything that decides a picture; equal specs give equal pixels.

    Attributes:
        count: how many of the thing are shown, 1 to 3.
        position: of the thing; other than "middle" only where it is small and alone.
        text: digits or capital letters on a tag, at most six; empty for none.
        beside: another thing and its colour, drawn smaller next to a single large one.

    Raises:
        ValueError: there is no such picture; the message names the field.
    """

    item: str
    colour: str
    seed: int
    count: int = 1
    style: Style = "plain"
    size: Size = "large"
    position: Position = "middle"
    text: str = ""
    beside: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        colours = lexicon.load().colours
        _check("item", self.item, self.item in SHAPES)
        _check("colour", self.colour, self.colour in colours)
        _check("count", self.count, self.count in range(1, MAX_COUNT + 1))
        _check("style", self.style, self.style in get_args(Style))
        _check("size", self.size, self.size in get_args(Size))
        _check("position", self.position, self.position in get_args(Position))
        _check("text", self.text, len(self.text) <= MAX_TEXT and _TEXT_SIGNS.issuperset(self.text))
        small_and_alone = self.size == "small" and self.count == 1 and self.beside is None
        if self.position != "middle" and not small_and_alone:
            raise ValueError(f"position {self.position!r} is for one small thing alone")
        if self.beside is None:
            return
        _check("beside", self.beside, len(self.beside) == 2)
        _check("beside: item", self.beside[0], self.beside[0] in SHAPES)
        _check("beside: colour", self.beside[1], self.beside[1] in colours)
        if self.count != 1 or self.size != "large":
            raise ValueError("beside is for one large thing")

    def ref(self) -> str:
        """The spec in one word without spaces, for files; `parse` reads it."""
        beside = ".".join(self.beside) if self.beside else ""
        return (
            f"{self.item}-{self.colour}-{self.seed}-{self.count}-{self.style}-{self.size}"
            f"-{self.position}-{self.text}-{beside}"
        )

    @classmethod
    def parse(cls, ref: str) -> "PictureSpec":
        """Reads what `ref` wrote, and nothing else.

        Raises:
            ValueError: it is no such word; the message names the field.
        """
        try:
            item, colour, rest = ref.split("-", 2)
            seed, count, style, size, position, text, beside = rest.rsplit("-", 6)
        except ValueError:
            raise ValueError(f"no picture: {ref!r} has not nine fields") from None
        try:
            return cls(
                item,
                colour,
                _whole("seed", seed),
                _whole("count", count),
                cast(Style, style),
                cast(Size, size),
                cast(Position, position),
                text,
                cast(tuple[str, str], tuple(beside.split("."))) if beside else None,
            )
        except ValueError as fault:
            raise ValueError(f"no picture: {ref!r}: {fault}") from None


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a thing goes: left, top and size as shares of the picture's side."""

    left: float
    top: float
    size: float


def draw(spec: PictureSpec) -> Image.Image:
    """Draws a picture, `SIDE_PIXELS` square, varied in places, mirroring and shade."""
    rng = random.Random(spec.ref())
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), _background(rng))
    _clutter(ImageDraw.Draw(canvas), rng)

    tag_on_top = rng.random() < 0.5
    taken = (_TAG_PIXELS + 2) / SIDE_PIXELS if spec.text else 0.0
    spots = _spots(spec, rng, height=1 - taken)
    down = taken if tag_on_top else 0.0
    spots = [_Spot(spot.left, spot.top + down, spot.size) for spot in spots]

    colours = lexicon.load().colours
    main = _scaled(colours[spec.colour].rgb, rng.uniform(0.88, 1.1))
    for spot in spots[: spec.count]:
        _put(canvas, spec.item, main, spec.style, spot, rng)
    if spec.beside:
        item, colour = spec.beside
        other = _scaled(colours[colour].rgb, rng.uniform(0.88, 1.1))
        _put(canvas, item, other, "plain", spots[-1], rng)
    if spec.text:
        _tag(canvas, spec.text, rng, on_top=tag_on_top)
    return canvas.reduce(OVERSAMPLING)


@cache
def png(spec: PictureSpec) -> bytes:
    """Encodes a picture as PNG."""
    buffer = io.BytesIO()
    draw(spec).save(buffer, format="PNG")
    return buffer.getvalue()


def _check(field: str, value: object, right: bool) -> None:
    if not right:
        raise ValueError(f"{field} cannot be {value!r}")


def _whole(field: str, digits: str) -> int:
    """Reads a number as `ref` writes it: no sign but a minus, no leading zero."""
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", digits):
        raise ValueError(f"{field} cannot be {digits!r}")
    return int(digits)


def _background(rng: random.Random) -> Rgb:
    if rng.random() < 0.15:
        grey = rng.randint(70, 120)
        return (grey, grey, grey + rng.randint(0, 12))
    return (rng.randint(195, 250), rng.randint(195, 250), rng.randint(195, 250))


def _clutter(brush: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """Adds a few pale marks, so that a flat background is no clue."""
    for _ in range(rng.randint(0, 3)):
        x, y = rng.uniform(0, _CANVAS), rng.uniform(0, _CANVAS)
        reach = rng.uniform(0.04, 0.14) * _CANVAS
        grey = rng.randint(150, 225)
        brush.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(grey, grey, grey))


def _scaled(rgb: Rgb, factor: float) -> Rgb:
    red, green, blue = (min(255, round(channel * factor)) for channel in rgb)
    return (red, green, blue)


def _spots(spec: PictureSpec, rng: random.Random, height: float) -> list[_Spot]:
    """Finds places that do not overlap, in a field of full width and the given height."""
    shrunk = 0.75 if spec.size == "small" else 1.0
    if spec.beside:
        size = rng.uniform(0.58, 0.6)
        return _row(rng, [size, rng.uniform(0.36, 1 - _APART - size)], height, mixed=True)
    if spec.count == 1:
        return [_alone(spec, rng, height)]
    turned = height == 1 and rng.random() < 0.5  # a row becomes a column
    if spec.count == 2:
        size = rng.uniform(0.45, 0.48) * shrunk
        spots = _row(rng, [size] * 2, height)
    else:
        half = (height - _APART) / 2
        largest = min(0.46, half)
        size = rng.uniform(min(0.4, largest - 0.02), largest) * shrunk
        rows = [_row(rng, [size] * number, half) for number in rng.sample((1, 2), 2)]
        lower = half + _APART
        spots = rows[0] + [_Spot(spot.left, spot.top + lower, size) for spot in rows[1]]
    return [_Spot(spot.top, spot.left, spot.size) for spot in spots] if turned else spots


def _alone(spec: PictureSpec, rng: random.Random, height: float) -> _Spot:
    if spec.size == "large":
        size = rng.uniform(0.62, min(0.95, height))
        return _Spot(rng.uniform(0, 1 - size), rng.uniform(0, height - size), size)
    size = rng.uniform(0.38, 0.5)
    aside = rng.uniform(0, 0.04)  # so that a third of the width holds the middle of the thing
    left = {"left": aside, "middle": (1 - size) / 2 + aside - 0.02, "right": 1 - size - aside}
    return _Spot(left[spec.position], rng.uniform(0, height - size), size)


def _row(
    rng: random.Random, sizes: list[float], height: float, *, mixed: bool = False
) -> list[_Spot]:
    """Places things side by side, each at any height; `mixed` changes who comes first."""
    order = list(range(len(sizes)))
    if mixed:
        rng.shuffle(order)
    spots: dict[int, _Spot] = {}
    left, room = 0.0, 1 - sum(sizes) - _APART * (len(sizes) - 1)
    for number in order:
        gap = rng.uniform(0, room)
        spots[number] = _Spot(left + gap, rng.uniform(0, height - sizes[number]), sizes[number])
        left, room = left + gap + sizes[number] + _APART, room - gap
    return [spots[number] for number in range(len(sizes))]


def _put(
    canvas: Image.Image, item: str, main: Rgb, style: Style, spot: _Spot, rng: random.Random
) -> None:
    """Paints one thing, and its pattern over what shows its colour."""
    mirrored = rng.random() < 0.5
    ink = {"main": main, "deep": _scaled(main, 0.62), "dark": DARK, "light": LIGHT}
    left, top, size = (share * _CANVAS for share in (spot.left, spot.top, spot.size))
    brush = ImageDraw.Draw(canvas)
    for shape in SHAPES[item]:
        paint(brush, shape, ink[shape.ink], left, top, size, mirrored)
    if style == "plain":
        return
    edge = OVERSAMPLING  # stays free of the pattern, or a pale one would eat the outline
    coloured = Image.new("L", (round(size) + 2 * edge,) * 2)
    brush = ImageDraw.Draw(coloured)
    for shape in SHAPES[item]:
        inside = 255 if shape.ink in ("main", "deep") else 0
        paint(brush, shape, inside, edge, edge, size, mirrored)
    mask = ImageChops.darker(_pattern(style, coloured.width, rng), coloured)
    for x, y in ((edge, 0), (-edge, 0), (0, edge), (0, -edge)):
        shifted = coloured.crop((x, y, coloured.width + x, coloured.height + y))
        mask = ImageChops.darker(mask, shifted)
    bright = 0.3 * main[0] + 0.59 * main[1] + 0.11 * main[2] > 140
    colour = _scaled(main, 0.42) if bright else LIGHT
    canvas.paste(colour, (round(left) - edge, round(top) - edge), mask)


def _pattern(style: Style, side: int, rng: random.Random) -> Image.Image:
    """A square mask of stripes or dots, wide enough to be seen in the finished picture."""
    mask = Image.new("L", (side, side))
    brush = ImageDraw.Draw(mask)
    period = max(6.5 * OVERSAMPLING, 0.15 * side)
    start = rng.uniform(-period, 0)
    if style == "striped":
        lean = rng.choice((-1, 0, 1))  # of the stripes: 45 degrees or none
        step, thick = (period * 1.4, period * 0.56) if lean else (period, period * 0.4)
        for number in range(int((1 + abs(lean)) * side / step) + 2):
            at = start + number * step - max(0, lean) * side
            rise = lean * side
            brush.polygon((0, at, side, at + rise, side, at + rise + thick, 0, at + thick), 255)
        return mask
    reach = 0.27 * period
    for row in range(int(side / (0.87 * period)) + 2):
        y = start + row * 0.87 * period
        for column in range(int(side / period) + 3):
            x = start + (column - 0.5 * (row % 2)) * period
            brush.ellipse((x - reach, y - reach, x + reach, y + reach), 255)
    return mask


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Pillow's own font, of a size that makes a digit `_TEXT_PIXELS` high."""
    font = ImageFont.load_default(size=100)
    assert isinstance(font, ImageFont.FreeTypeFont)
    _, top, _, bottom = font.getbbox("0")
    return font.font_variant(size=round(100 * _TEXT_PIXELS * OVERSAMPLING / (bottom - top)))


@cache
def _lettering(text: str) -> Image.Image:
    """The text as a mask, as wide as a tag can hold."""
    left, top, right, bottom = (round(at) for at in _font().getbbox(text, stroke_width=1))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=_font(), stroke_width=1)
    widest = _CANVAS - 8 * OVERSAMPLING
    return mask if mask.width <= widest else mask.resize((widest, mask.height))


def _tag(canvas: Image.Image, text: str, rng: random.Random, *, on_top: bool) -> None:
    """Puts a pale tag with a dark border into a corner."""
    letters = _lettering(text)
    margin, edge = OVERSAMPLING, round(1.3 * OVERSAMPLING)
    width, height = letters.width + 6 * OVERSAMPLING, _TAG_PIXELS * OVERSAMPLING
    left = margin if rng.random() < 0.5 else _CANVAS - margin - width
    top = margin if on_top else _CANVAS - margin - height
    tag = (left, top, left + width - 1, top + height - 1)
    brush = ImageDraw.Draw(canvas)
    brush.rounded_rectangle(tag, radius=2 * OVERSAMPLING, fill=PAPER, outline=DARK, width=edge)
    canvas.paste(
        DARK, (left + (width - letters.width) // 2, top + (height - letters.height) // 2), letters
    )
