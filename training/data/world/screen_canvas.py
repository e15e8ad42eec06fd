"""What screens are drawn with: text, boxes, things, and shapes given as `form ink numbers`."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from training.data.world.pictures import PictureSpec, draw

ACCENTS = ("#ff5000", "#e1251b", "#1677ff", "#00a870", "#7b4dff")
INKS = {
    "white": "#ffffff", "dark": "#2b2d33", "grey": "#9aa0a8", "pale": "#dfe2e7", "red": "#e03131",
    "orange": "#f08c00", "yellow": "#fcc419", "green": "#2f9e44", "blue": "#1c5fd4",
    "sky": "#9ad0f5", "brown": "#8a5a2b", "pink": "#f5a3c0", "skin": "#f2c9a5", "cream": "#f3e3c3",
}  # fmt: skip
EDGE = 8


@dataclass(slots=True)
class Screen:
    """A screen that is being drawn; `y` is where the next block begins, in pixels.

    Attributes:
        price: of the thing that is shown.
        accent: the colour of the app, which the seed draws.
    """

    thing_shown: PictureSpec
    price: int
    image: Image.Image
    rng: random.Random
    brush: ImageDraw.ImageDraw = field(init=False)
    accent: str = field(init=False)
    y: float = 0

    def __post_init__(self) -> None:
        self.brush = ImageDraw.Draw(self.image)
        self.accent = self.rng.choice(ACCENTS)

    def text(
        self, x: float, y: float, text: str, *, size: int = 10, ink: str = "dark", at: str = "lm"
    ) -> None:
        self.brush.text((x, y), text, font=font(size), fill=INKS.get(ink, ink), anchor=at)

    def box(self, corners: Sequence[float], ink: str, *, round_by: int = 3, line: str = "") -> None:
        x0, y0, x1, y1 = corners
        fill, outline = INKS.get(ink, ink) if ink else None, INKS.get(line, line) or None
        self.brush.rounded_rectangle((x0, y0, x1, y1), round_by, fill=fill, outline=outline)

    def words(self, x: float, y: float, width: float, ink: str = "pale") -> None:
        """Text too small to read: a grey bar."""
        reach = width * self.rng.uniform(0.55, 1)
        self.box((x, y - 3, x + reach, y + 3), ink, round_by=2)

    def thing(self, x: float, y: float, side: float) -> None:
        shown = draw(self.thing_shown).resize((int(side), int(side)), Image.Resampling.BILINEAR)
        self.image.paste(shown, (int(x), int(y)))

    def other(self, x: float, y: float, side: float) -> None:
        """A product that is not the one talked about: a plain pastel square."""
        pastel = tuple(self.rng.randint(185, 240) for _ in range(3))
        self.brush.rounded_rectangle((x, y, x + side, y + side), 4, fill=pastel)
        inner = side * self.rng.uniform(0.22, 0.36)
        ink = tuple(self.rng.randint(60, 200) for _ in range(3))
        corners = (x + inner, y + inner, x + side - inner, y + side - inner)
        (self.brush.ellipse if self.rng.random() < 0.5 else self.brush.rectangle)(corners, fill=ink)

    def number(self) -> str:
        return f"{self.rng.randint(10, 9999)}"


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def shapes(screen: Screen, lines: Sequence[str], frame: tuple[float, ...]) -> None:
    """Draws `form ink numbers` into a frame; numbers are hundredths of its width and height."""
    left, top, right, bottom = frame
    wide, high = (right - left) / 100, (bottom - top) / 100
    for line in lines:
        form, *words = line.split()
        if form == "thing":
            x0, y0, x1, _ = (float(word) for word in words)
            screen.thing(left + x0 * wide, top + y0 * high, (x1 - x0) * wide)
            continue
        ink, words = INKS[words[0]], words[1:]
        if form == "text":
            at = (left + float(words[0]) * wide, top + float(words[1]) * high)
            size = max(9, round(9 * wide))
            screen.brush.text(at, " ".join(words[2:]), font=font(size), fill=ink, anchor="mm")
            continue
        thick = 1
        if form == "line":
            thick, words = max(1, round(float(words[0]) * wide)), words[1:]
        elif form == "ring":
            thick, words = max(1, round(float(words[4]) * wide)), words[:4]
        numbers = [float(word) for word in words]
        points = [
            (left + x * wide, top + y * high)
            for x, y in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        _paint(screen.brush, form, points, ink, thick)


def star(brush: ImageDraw.ImageDraw, x: float, y: float, reach: float, ink: str) -> None:
    turns = [math.pi * (0.2 * number - 0.5) for number in range(10)]
    brush.polygon(
        [
            (x + math.cos(turn) * far, y + math.sin(turn) * far)
            for turn, far in zip(turns, (reach, 0.45 * reach) * 5, strict=True)
        ],
        fill=ink,
    )


def _paint(
    brush: ImageDraw.ImageDraw, form: str, points: list[tuple[float, float]], ink: str, thick: int
) -> None:
    if form == "rect":
        brush.rectangle((*points[0], *points[1]), fill=ink)
    elif form == "ell":
        brush.ellipse((*points[0], *points[1]), fill=ink)
    elif form == "ring":
        brush.ellipse((*points[0], *points[1]), outline=ink, width=thick)
    elif form == "line":
        brush.line(points, fill=ink, width=thick, joint="curve")
    elif form == "star":
        (x0, y0), (x1, y1) = points
        star(brush, (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, ink)
    else:
        assert form == "poly", form
        brush.polygon(points, fill=ink)
