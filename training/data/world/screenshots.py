"""Draws screens of a shop's app, and photos that tell what a customer is asking about.

The default font has no Chinese signs: what is written is Latin and digits, the layout and the
icons tell the scene. Equal specs give equal pixels.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from training.data.world import pages_lexicon
from training.data.world.facts import Split, Topic
from training.data.world.pictures import PictureSpec, draw
from training.data.world.screen_canvas import Screen, shapes
from training.data.world.screen_lists import BLOCKS

# A telephone's 1:2, in whole patches of 28 pixels: 72 visual tokens of Qwen2-VL. Text of 10 pixels
# can still be read.
WIDTH_PIXELS, HEIGHT_PIXELS = 168, 336
CUE_PIXELS = 168
GROUND = "#f4f5f7"


@dataclass(frozen=True, slots=True)
class ScreenSpec:
    """Everything that decides a screen.

    Attributes:
        blocks: `name:argument|argument`, from top to bottom, or `shapes` and the shapes of a cue.
        price: in the currency of the shop, as digits on the screen.
        seed: of colours, places and of what is written in grey.
    """

    blocks: tuple[str, ...]
    item: str
    colour: str
    price: int
    seed: int

    def picture(self) -> PictureSpec:
        """The thing that is shown on it."""
        return PictureSpec(self.item, self.colour, self.seed)


Shown = PictureSpec | ScreenSpec
Save = Callable[[str, Shown], str]
"""Keeps a picture under a name without an ending; returns the path for a record."""


def png(shown: Shown) -> bytes:
    """Encodes a picture or a screen as PNG."""
    buffer = io.BytesIO()
    image = render(shown) if isinstance(shown, ScreenSpec) else draw(shown)
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def scene(label: str, topic: Topic, split: Split, rng: random.Random) -> ScreenSpec:
    """A screen of one of MIRE's scenes that shows a topic's thing at its price.

    Raises:
        KeyError: there is no such scene.
    """
    blocks = pages_lexicon.load().scenes[label].draw("layouts", split, rng)
    assert isinstance(blocks, tuple)
    return _spec(blocks, topic, rng)


def cue(label: str, topic: Topic, split: Split, rng: random.Random) -> ScreenSpec:
    """A picture that tells one of MIRE's intents.

    Raises:
        KeyError: there is no such intent.
    """
    shapes = pages_lexicon.load().cues[label].draw("draws", split, rng)
    assert isinstance(shapes, tuple)
    return _spec(("shapes", *shapes), topic, rng)


def render(spec: ScreenSpec) -> Image.Image:
    """Draws a screen, 168 x 336 pixels RGB, or a cue, 168 x 168."""
    rng = random.Random(repr(spec))
    if spec.blocks[0] == "shapes":
        tint = tuple(rng.randint(205, 250) for _ in range(3))
        image = Image.new("RGB", (CUE_PIXELS, CUE_PIXELS), tint)
        screen = Screen(spec.picture(), spec.price, image, rng)
        spread = rng.uniform(0.86, 1) * CUE_PIXELS
        left, top = (rng.uniform(0, CUE_PIXELS - spread) for _ in range(2))
        shapes(screen, spec.blocks[1:], (left, top, left + spread, top + spread))
        return screen.image
    image = Image.new("RGB", (WIDTH_PIXELS, HEIGHT_PIXELS), GROUND)
    screen = Screen(spec.picture(), spec.price, image, rng)
    for block in spec.blocks:
        name, _, arguments = block.partition(":")
        BLOCKS[name](screen, *(arguments.split("|") if arguments else ()))
    return screen.image


def _spec(blocks: tuple[str, ...], topic: Topic, rng: random.Random) -> ScreenSpec:
    assert topic.item
    return ScreenSpec(blocks, topic.item, topic.colour, topic.price, rng.randrange(10**6))
