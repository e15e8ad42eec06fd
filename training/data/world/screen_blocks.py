"""The blocks that screens are made of; each draws itself at `screen.y` and moves it down."""

from collections.abc import Callable

from training.data.world import pages_lexicon
from training.data.world.screen_canvas import EDGE, Screen, shapes

WIDTH = 168
_CRACK = ("line white 2 30 20 48 44 40 60 62 84", "line dark 1 31 20 49 44 41 60 63 84")
_BOX = ("rect brown 4 60 60 98", "line yellow 3 32 60 32 98", "poly cream 4 60 14 50 70 50 60 60")
PIN = ("ell red 20 0 80 60", "poly red 24 44 76 44 50 100", "ell white 38 18 62 42")
_RIGHT = WIDTH - EDGE


def photo(screen: Screen, *arguments: str) -> None:
    """A photo of the thing on a table, without any of an app's signs; broken, or in its box."""
    width, height = screen.image.size
    side = screen.rng.uniform(0.7, 1) * width
    left, top = screen.rng.uniform(0, width - side), screen.rng.uniform(0.1, 0.4) * height
    screen.thing(left, top, side)
    # The wall has the colour that the thing stands before, so that the photo has no frame in it.
    wall = screen.image.getpixel((int(left) + 1, int(top) + 1))
    assert isinstance(wall, tuple)
    screen.brush.rectangle((0, 0, width, height), fill=wall)
    shade = tuple(int(channel * 0.8) for channel in wall)
    screen.brush.rectangle((0, top + side - 1, width, height), fill=shade)
    screen.thing(left, top, side)
    if "crack" in arguments:
        shapes(screen, _CRACK, (left, top, left + side, top + side))
    if "box" in arguments:
        shapes(screen, _BOX, (0, height - width, width, height))


def pattern(screen: Screen, cells: str) -> None:
    """No screen and no thing: coloured tiles."""
    side = int(int(cells) ** 0.5)
    wide, high = WIDTH / side, screen.image.height / side
    for number in range(side * side):
        x, y = number % side * wide, number // side * high
        ink = tuple(screen.rng.randint(30, 250) for _ in range(3))
        (screen.brush.ellipse if screen.rng.random() < 0.5 else screen.brush.rectangle)(
            (x, y, x + wide, y + high), fill=ink
        )


def bar(screen: Screen, title: str = "") -> None:
    _clock(screen, "dark")
    screen.brush.line((14, screen.y + 8, 9, screen.y + 13, 14, screen.y + 18), fill="#2b2d33")
    screen.text(WIDTH / 2, screen.y + 13, title, size=12, at="mm")
    screen.y += 28


def status(screen: Screen, title: str) -> None:
    screen.box((0, 0, WIDTH, 44), screen.accent, round_by=0)
    screen.text(EDGE, 28, title, size=15, ink="white")
    screen.y = 50


def dark(screen: Screen) -> None:
    """Another app: white on black, its bar below the clock."""
    screen.image.paste((24, 25, 28), (0, 0, *screen.image.size))
    _clock(screen, "white")
    screen.box((EDGE, screen.y + 4, _RIGHT, screen.y + 22), "#3a3c42", round_by=9)
    screen.text(WIDTH / 2, screen.y + 13, screen.rng.choice(("SMS", "@", "WWW", "10086")),
                ink="white", at="mm")  # fmt: skip
    screen.y += 30


def tabs(screen: Screen, *titles: str) -> None:
    *names, chosen = titles
    _clock(screen, "dark")
    for number, name in enumerate(names):
        x = WIDTH * (number + 0.5) / len(names)
        current = number == int(chosen)
        screen.text(x, screen.y + 10, name, ink=screen.accent if current else "grey", at="mm")
        if current:
            screen.box((x - 12, screen.y + 18, x + 12, screen.y + 20), screen.accent, round_by=1)
    screen.y += 26


def hero(screen: Screen) -> None:
    screen.thing(0, screen.y, WIDTH)
    screen.y += WIDTH + 4


def dots(screen: Screen, count: str) -> None:
    """How many pictures there are to swipe: over the large one."""
    screen.box((WIDTH - 34, screen.y - 24, WIDTH - 6, screen.y - 10), "dark", round_by=7)
    shown = f"{screen.rng.randint(1, int(count))}/{count}"
    screen.text(WIDTH - 20, screen.y - 17, shown, size=9, ink="white", at="mm")


def price(screen: Screen) -> None:
    screen.text(EDGE, screen.y + 11, f"${screen.price}", size=17, ink=screen.accent)
    screen.words(EDGE + 60, screen.y + 12, 50)
    screen.y += 24


def lines(screen: Screen, count: str) -> None:
    for _ in range(int(count)):
        screen.words(EDGE, screen.y + 7, WIDTH - 2 * EDGE, "grey")
        screen.y += 14


def spec(screen: Screen, count: str) -> None:
    """Names on the left, values on the right."""
    height = 17 * int(count) + 6
    card(screen, height)
    for number in range(int(count)):
        y = screen.y + 12 + 17 * number
        screen.words(EDGE + 6, y, 44, "grey")
        screen.text(_RIGHT - 6, y, screen.number(), size=9, ink="grey", at="rm")
    screen.y += height + 6


def row(screen: Screen) -> None:
    card(screen, 50)
    screen.thing(EDGE + 4, screen.y + 4, 42)
    screen.words(EDGE + 54, screen.y + 12, 84, "grey")
    screen.words(EDGE + 54, screen.y + 24, 60)
    screen.text(EDGE + 54, screen.y + 39, f"${screen.price}", size=11)
    screen.text(_RIGHT - 6, screen.y + 39, "x1", size=9, ink="grey", at="rm")
    screen.y += 56


def swatches(screen: Screen) -> None:
    for number in range(5):
        x = EDGE + 31 * number
        screen.other(x, screen.y + 3, 26)
        if number == 1:
            screen.box((x - 2, screen.y + 1, x + 28, screen.y + 31), "", line=screen.accent)
    screen.y += 38


def chips(screen: Screen, *names: str) -> None:
    wide = (WIDTH - 2 * EDGE) / len(names)
    chosen = screen.rng.randrange(len(names))
    for number, name in enumerate(names):
        x = EDGE + wide * number
        ink = screen.accent if number == chosen else "grey"
        screen.box((x + 1, screen.y + 2, x + wide - 3, screen.y + 20), "white", line=ink)
        screen.text(x + wide / 2 - 1, screen.y + 11, name, ink=ink, at="mm")
    screen.y += 26


def stepper(screen: Screen) -> None:
    screen.words(EDGE, screen.y + 12, 40, "grey")
    for number, sign in enumerate(("-", "1", "+")):
        x = _RIGHT - 66 + 22 * number
        screen.box((x, screen.y + 3, x + 20, screen.y + 21), "white", line="pale")
        screen.text(x + 10, screen.y + 12, sign, at="mm")
    screen.y += 28


def button(screen: Screen, title: str) -> None:
    screen.box((EDGE, screen.y + 4, _RIGHT, screen.y + 30), screen.accent, round_by=13)
    screen.text(WIDTH / 2, screen.y + 17, title, size=12, ink="white", at="mm")
    screen.y += 36


def bottom(screen: Screen, title: str) -> None:
    high = screen.image.height
    screen.box((0, high - 34, WIDTH, high), "white", round_by=0)
    screen.box((WIDTH - 96, high - 29, _RIGHT, high - 6), screen.accent, round_by=11)
    screen.text(WIDTH - 52, high - 17, title, size=11, ink="white", at="mm")


def toast(screen: Screen, title: str) -> None:
    """A dark notice over the middle of all that is there."""
    middle = screen.image.height / 2
    screen.box((20, middle - 34, WIDTH - 20, middle + 34), "#33353a", round_by=8)
    cross = (WIDTH / 2 - 10, middle - 26, WIDTH / 2 + 10, middle - 6)
    shapes(screen, ("ring white 0 0 100 100 10", "line white 10 30 30 70 70",
                    "line white 10 70 30 30 70"), cross)  # fmt: skip
    screen.text(WIDTH / 2, middle + 14, title, size=13, ink="white", at="mm")


def icon(screen: Screen, name: str, title: str) -> None:
    frame = (WIDTH / 2 - 22, screen.y + 6, WIDTH / 2 + 22, screen.y + 50)
    shapes(screen, pages_lexicon.load().icons[name], frame)
    screen.text(WIDTH / 2, screen.y + 64, title, size=14, at="mm")
    screen.y += 78


def alert(screen: Screen, title: str) -> None:
    screen.box((0, screen.y, WIDTH, screen.y + 30), "#fff0d6", round_by=0)
    frame = (EDGE, screen.y + 5, EDGE + 20, screen.y + 25)
    shapes(screen, pages_lexicon.load().icons["alert"], frame)
    screen.text(EDGE + 28, screen.y + 15, title, size=12, ink="orange")
    screen.y += 36


def address(screen: Screen) -> None:
    card(screen, 34)
    shapes(screen, PIN, (EDGE + 4, screen.y + 8, EDGE + 22, screen.y + 28))
    screen.words(EDGE + 32, screen.y + 11, 60, "grey")
    screen.words(EDGE + 32, screen.y + 24, 106)
    screen.y += 40


def amount(screen: Screen) -> None:
    screen.text(WIDTH / 2, screen.y + 20, f"${screen.price}.00", size=24, at="mm")
    screen.y += 42


def countdown(screen: Screen) -> None:
    for number in range(3):
        x = WIDTH / 2 - 54 + 40 * number
        screen.box((x, screen.y + 2, x + 28, screen.y + 22), "dark")
        left = f"{screen.rng.randrange(24 if number == 0 else 60):02}"
        screen.text(x + 14, screen.y + 12, left, size=12, ink="white", at="mm")
        if number:
            screen.text(x - 6, screen.y + 12, ":", size=12, at="mm")
    screen.y += 28


def _clock(screen: Screen, ink: str) -> None:
    """The telephone's own line, at the top of a screen: the hour, and the battery."""
    if screen.y:
        return
    hour = f"{screen.rng.randint(0, 23):02}:{screen.rng.randint(0, 59):02}"
    screen.text(EDGE, 7, hour, size=8, ink=ink)
    screen.box((WIDTH - 24, 4, WIDTH - 8, 11), "", round_by=1, line=ink)
    screen.box((WIDTH - 23, 5, WIDTH - 23 + screen.rng.randint(3, 14), 10), ink, round_by=0)
    screen.y = 14


def card(screen: Screen, height: float) -> None:
    screen.box((EDGE - 2, screen.y, _RIGHT + 2, screen.y + height), "white", round_by=5)


Block = Callable[..., None]
FIRST: dict[str, Block] = {
    block.__name__: block
    for block in (
        photo, pattern, bar, status, dark, tabs, hero, dots, price, lines, spec, row, swatches,
        chips, stepper, button, bottom, toast, icon, alert, address, amount, countdown,
    )
}  # fmt: skip
