"""The marks that things are drawn with, in the unit square: x to the right, y downwards."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from PIL import ImageDraw

Form = Literal["ellipse", "ring", "box", "polygon", "line"]
Ink = Literal["main", "deep", "dark", "light"]

_STEPS = 6  # straight pieces between two points of a smooth outline


@dataclass(frozen=True, slots=True)
class Shape:
    """One mark; `points` are x, y pairs from the top left, `width` a share of the size."""

    form: Form
    ink: Ink
    points: tuple[float, ...]
    width: float = 0.06


Thing = tuple[Shape, ...]
"""Marks, painted in order."""


def ellipse(ink: Ink, *points: float) -> Shape:
    return Shape("ellipse", ink, points)


def box(ink: Ink, *points: float) -> Shape:
    return Shape("box", ink, points)


def poly(ink: Ink, *points: float) -> Shape:
    return Shape("polygon", ink, points)


def line(ink: Ink, width: float, *points: float) -> Shape:
    return Shape("line", ink, points, width)


def ring(ink: Ink, width: float, *points: float) -> Shape:
    return Shape("ring", ink, points, width)


def disc(ink: Ink, x: float, y: float, reach: float) -> Shape:
    return ellipse(ink, x - reach, y - reach, x + reach, y + reach)


def blob(ink: Ink, *points: float) -> Shape:
    """A filled outline that runs smoothly through the points."""
    return poly(ink, *_smooth(points, closed=True))


def curve(ink: Ink, width: float, *points: float) -> Shape:
    """A line that runs smoothly through the points."""
    return line(ink, width, *_smooth(points, closed=False))


def sector(ink: Ink, start: float, end: float, *points: float) -> Shape:
    """The part of an ellipse between two angles: degrees, clockwise from the right."""
    x0, y0, x1, y1 = points
    angles = [math.radians(start + (end - start) * step / 24) for step in range(25)]
    return poly(
        ink,
        *(
            at
            for angle in angles
            for at in (
                (x0 + x1) / 2 + (x1 - x0) / 2 * math.cos(angle),
                (y0 + y1) / 2 + (y1 - y0) / 2 * math.sin(angle),
            )
        ),
    )


def twin(shape: Shape) -> tuple[Shape, Shape]:
    """A mark and its mirror image, left and right."""
    other = (1 - at if number % 2 == 0 else at for number, at in enumerate(shape.points))
    return shape, replace(shape, points=tuple(other))


def paint(
    brush: ImageDraw.ImageDraw,
    shape: Shape,
    fill: tuple[int, int, int] | int,
    left: float,
    top: float,
    size: float,
    mirrored: bool,
) -> None:
    """Paints one mark, its unit square put at a place in pixels."""
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


def _smooth(points: tuple[float, ...], *, closed: bool) -> list[float]:
    """Catmull-Rom through the points, kept inside the unit square."""
    pairs = list(zip(points[::2], points[1::2], strict=True))
    around = [pairs[-1], *pairs, *pairs[:2]] if closed else [pairs[0], *pairs, pairs[-1]]
    flat: list[float] = []
    for p0, p1, p2, p3 in zip(around, around[1:], around[2:], around[3:], strict=False):
        for step in range(_STEPS):
            t = step / _STEPS
            for a, b, c, d in zip(p0, p1, p2, p3, strict=True):
                bend = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
                at = (bend + (3 * b - a - 3 * c + d) * t**3) / 2
                flat.append(min(1.0, max(0.0, round(at, 4))))
    return flat if closed else [*flat, *pairs[-1]]
