"""Draws the things of the world: one small RGB picture for an object, a colour and a seed."""

import io
import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw

from training.data.world import lexicon
from training.data.world.shapes import SHAPES, Shape

SIDE_PIXELS = 84
OVERSAMPLING = 3
DARK = (40, 40, 46)
LIGHT = (250, 250, 246)


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """Everything that decides a picture; equal specs give equal pixels."""

    item: str
    colour: str
    seed: int


def draw(spec: PictureSpec) -> Image.Image:
    """Draws a picture, `SIDE_PIXELS` square, the thing varied in size, place and mirror."""
    rng = random.Random(f"{spec.item}/{spec.colour}/{spec.seed}")
    side = SIDE_PIXELS * OVERSAMPLING
    canvas = Image.new("RGB", (side, side), _background(rng))
    _clutter(ImageDraw.Draw(canvas), rng, side)
    size = rng.uniform(0.62, 0.95) * side
    left, top = (rng.uniform(0, side - size) for _ in range(2))
    mirrored = rng.random() < 0.5
    main = _shade(lexicon.load().colours[spec.colour].rgb, rng)
    ink = {"main": main, "deep": _scaled(main, 0.62), "dark": DARK, "light": LIGHT}
    brush = ImageDraw.Draw(canvas)
    for shape in SHAPES[spec.item]:
        _paint(brush, shape, ink[shape.ink], left, top, size, mirrored)
    return canvas.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BOX)


@cache
def png(spec: PictureSpec) -> bytes:
    """Encodes a picture as PNG."""
    buffer = io.BytesIO()
    draw(spec).save(buffer, format="PNG")
    return buffer.getvalue()


def _background(rng: random.Random) -> tuple[int, int, int]:
    if rng.random() < 0.15:
        grey = rng.randint(70, 120)
        return (grey, grey, grey + rng.randint(0, 12))
    return (rng.randint(195, 250), rng.randint(195, 250), rng.randint(195, 250))


def _clutter(brush: ImageDraw.ImageDraw, rng: random.Random, side: int) -> None:
    """Adds a few pale marks, so that a flat background is no clue."""
    for _ in range(rng.randint(0, 3)):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        reach = rng.uniform(0.04, 0.14) * side
        grey = rng.randint(150, 225)
        brush.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(grey, grey, grey))


def _shade(rgb: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    return _scaled(rgb, rng.uniform(0.88, 1.1))


def _scaled(rgb: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, round(channel * factor)) for channel in rgb)
    return (red, green, blue)


def _paint(
    brush: ImageDraw.ImageDraw,
    shape: Shape,
    fill: tuple[int, int, int],
    left: float,
    top: float,
    size: float,
    mirrored: bool,
) -> None:
    """Paints one shape, whose points are in the unit square with y downwards."""
    points = [
        (left + (1 - x if mirrored else x) * size, top + y * size)
        for x, y in zip(shape.points[::2], shape.points[1::2], strict=True)
    ]
    if shape.form == "polygon":
        brush.polygon(points, fill=fill)
        return
    if shape.form == "line":
        brush.line(points, fill=fill, width=max(1, round(shape.width * size)), joint="curve")
        return
    (x0, y0), (x1, y1) = points
    box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    if shape.form == "ellipse":
        brush.ellipse(box, fill=fill)
    elif shape.form == "ring":
        brush.ellipse(box, outline=fill, width=max(1, round(shape.width * size)))
    else:
        brush.rectangle(box, fill=fill)
