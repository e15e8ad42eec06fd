"""A contact sheet of the world's pictures: python -m training.data.world.sheet OUT.png"""

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from training.data.world import lexicon
from training.data.world.pictures import SIDE_PIXELS, PictureSpec, draw
from training.data.world.shapes import SHAPES

COLUMNS = 10
_GAP, _MARGIN, _CAPTION, _HEADING = 10, 20, 18, 40
_INK, _QUIET, _PAGE = (36, 38, 46), (110, 114, 126), (255, 255, 255)

# One of each thing that a spec can say, ten to a row: item, then the fields that matter.
_SHOWN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("duck", "yellow", {}),
    ("duck", "yellow", {"count": 2}),
    ("duck", "yellow", {"count": 3}),
    ("key", "blue", {"count": 2}),
    ("leaf", "green", {"count": 3}),
    ("sock", "red", {"style": "striped"}),
    ("sock", "red", {"style": "dotted"}),
    ("kettle", "orange", {"style": "striped"}),
    ("kettle", "orange", {"style": "dotted"}),
    ("umbrella", "purple", {"style": "striped", "count": 2}),
    ("snail", "brown", {"size": "small", "position": "left"}),
    ("snail", "brown", {"size": "small", "position": "middle"}),
    ("snail", "brown", {"size": "small", "position": "right"}),
    ("crown", "pink", {"size": "small", "position": "left", "style": "dotted"}),
    ("truck", "green", {"text": "7"}),
    ("bus", "red", {"text": "42"}),
    ("medal", "blue", {"text": "2019"}),
    ("bag", "orange", {"text": "SALE"}),
    ("bottle", "purple", {"text": "A1B2C3", "count": 2}),
    ("bell", "yellow", {"text": "805", "size": "small", "position": "right"}),
    ("table", "brown", {"beside": ("cat", "orange")}),
    ("horse", "brown", {"beside": ("flower", "pink")}),
    ("tree", "green", {"beside": ("ladder", "red")}),
    ("laptop", "blue", {"beside": ("cup", "yellow")}),
    ("piano", "purple", {"beside": ("trumpet", "orange")}),
    ("dog", "brown", {"beside": ("ball", "red"), "style": "dotted"}),
    ("boat", "red", {"beside": ("fish", "blue"), "style": "striped"}),
    ("cake", "pink", {"beside": ("strawberry", "red"), "text": "30"}),
    ("car", "blue", {"beside": ("bike", "green"), "text": "TAXI"}),
    ("cactus", "green", {"count": 3, "style": "dotted", "text": "99"}),
)


def draw_sheet() -> Image.Image:
    """Draws every thing, then everything else that a picture can show."""
    colours = list(lexicon.load().colours)
    things = [
        (item, PictureSpec(item, colours[(3 * number + number // COLUMNS) % len(colours)], 1))
        for number, item in enumerate(SHAPES)
    ]
    shown = [
        (_caption(spec), spec)
        for spec in (PictureSpec(item, colour, 2, **more) for item, colour, more in _SHOWN)
    ]
    blocks = [
        _block(f"{len(things)} things", things),
        _block("Count, style, size and place, text, company", shown),
    ]
    page = Image.new("RGB", (blocks[0].width, sum(block.height for block in blocks)), _PAGE)
    top = 0
    for block in blocks:
        page.paste(block, (0, top))
        top += block.height
    return page


def _block(heading: str, tiles: Sequence[tuple[str, PictureSpec]]) -> Image.Image:
    rows = -(-len(tiles) // COLUMNS)
    across, down = SIDE_PIXELS + _GAP, SIDE_PIXELS + _CAPTION + _GAP
    page = Image.new(
        "RGB", (2 * _MARGIN + COLUMNS * across - _GAP, _HEADING + rows * down + _MARGIN), _PAGE
    )
    brush = ImageDraw.Draw(page)
    brush.text((_MARGIN, _HEADING / 2 + 4), heading, fill=_INK, font=_font(17), anchor="lm")
    corners = _corners()
    for number, (caption, spec) in enumerate(tiles):
        left = _MARGIN + number % COLUMNS * across
        top = _HEADING + number // COLUMNS * down
        page.paste(draw(spec), (left, top), corners)
        middle = (left + SIDE_PIXELS / 2, top + SIDE_PIXELS + _CAPTION / 2 + 1)
        brush.text(middle, caption, fill=_QUIET, font=_font(12), anchor="mm")
    return page


def _caption(spec: PictureSpec) -> str:
    """What is special about a picture, in few words."""
    if spec.beside:
        return f"{spec.item}, {spec.beside[0]}"
    if spec.text:
        return f"text {spec.text}"
    if spec.size == "small":
        return f"small, {spec.position}"
    words = [] if spec.count == 1 and spec.style != "plain" else [str(spec.count)]
    return ", ".join([*words, *([] if spec.style == "plain" else [spec.style])])


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=pixels)


def _corners() -> Image.Image:
    """A mask that rounds a tile's corners."""
    fine = Image.new("L", (4 * SIDE_PIXELS, 4 * SIDE_PIXELS))
    whole = (0, 0, fine.width - 1, fine.height - 1)
    ImageDraw.Draw(fine).rounded_rectangle(whole, radius=4 * 8, fill=255)
    return fine.reduce(4)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sheet", description=__doc__)
    parser.add_argument("out", type=Path, help="the PNG to write")
    args = parser.parse_args(argv)
    page = draw_sheet()
    page.save(args.out, optimize=True)
    print(f"{args.out}: {page.width} x {page.height}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
