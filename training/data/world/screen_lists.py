"""The blocks of screens that list something: parcels, payments, messages, coupons."""

from training.data.world.screen_blocks import FIRST, PIN, WIDTH, Block, card
from training.data.world.screen_canvas import EDGE, Screen, shapes, star

_RIGHT = WIDTH - EDGE
_PARCEL = ("rect brown 5 20 95 95", "line yellow 10 50 20 50 95", "poly cream 5 20 20 5 80 5 95 20")


def methods(screen: Screen, count: str) -> None:
    """Ways to pay: a badge, a name, and a round mark to choose it."""
    chosen = screen.rng.randrange(int(count))
    for number in range(int(count)):
        card(screen, 26)
        badge = screen.rng.choice(("blue", "green", "orange", "red"))
        screen.box((EDGE + 4, screen.y + 5, EDGE + 26, screen.y + 21), badge)
        screen.words(EDGE + 34, screen.y + 13, 70, "grey")
        _mark(screen, _RIGHT - 10, screen.y + 13, number == chosen)
        screen.y += 30


def radios(screen: Screen, count: str) -> None:
    chosen = screen.rng.randrange(int(count))
    for number in range(int(count)):
        _mark(screen, EDGE + 8, screen.y + 11, number == chosen)
        screen.words(EDGE + 22, screen.y + 11, 110, "grey")
        screen.y += 21


def textbox(screen: Screen) -> None:
    screen.box((EDGE, screen.y + 2, _RIGHT, screen.y + 54), "white", line="pale")
    screen.words(EDGE + 6, screen.y + 14, 90)
    screen.text(_RIGHT - 4, screen.y + 46, "0/200", size=8, ink="grey", at="rm")
    screen.y += 60


def bubbles(screen: Screen, count: str) -> None:
    """Messages from both sides, with round heads."""
    for number in range(int(count)):
        mine = number % 2 == 1
        high = screen.rng.choice((22, 30, 38))
        head = WIDTH - 22 if mine else 6
        ink = "#95ec69" if mine else "white"
        screen.brush.ellipse((head, screen.y + 2, head + 16, screen.y + 18), fill=screen.accent)
        left, right = (50, WIDTH - 28) if mine else (28, WIDTH - 50)
        screen.box((left, screen.y + 2, right, screen.y + high), ink, round_by=5)
        for y in range(int(screen.y) + 11, int(screen.y) + high - 3, 9):
            screen.words(left + 6, y, right - left - 14, "grey")
        screen.y += high + 8


def input(screen: Screen) -> None:
    high = screen.image.height
    screen.box((0, high - 30, WIDTH, high), "white", round_by=0)
    screen.box((EDGE, high - 24, WIDTH - 50, high - 6), "pale", round_by=9)
    screen.brush.ellipse((WIDTH - 42, high - 24, WIDTH - 24, high - 6), outline="#2b2d33")
    screen.text(WIDTH - 12, high - 15, "+", size=16, at="mm")


def reviews(screen: Screen, count: str) -> None:
    for _ in range(int(count)):
        card(screen, 84)
        face = screen.rng.choice(("#9ad0f5", "#f2c9a5"))
        screen.brush.ellipse((EDGE + 2, screen.y + 4, EDGE + 18, screen.y + 20), fill=face)
        score = screen.rng.randint(3, 5)
        for number in range(5):
            x = EDGE + 32 + 13 * number
            ink = "#fcc419" if number < score else "#dfe2e7"
            star(screen.brush, x, screen.y + 12, 6, ink)
        screen.words(EDGE + 4, screen.y + 29, 140, "grey")
        screen.thing(EDGE + 4, screen.y + 38, 42)
        screen.other(EDGE + 50, screen.y + 38, 42)
        screen.y += 90


def parcels(screen: Screen, count: str) -> None:
    for _ in range(int(count)):
        card(screen, 58)
        shapes(screen, _PARCEL, (EDGE + 6, screen.y + 10, EDGE + 40, screen.y + 46))
        screen.words(EDGE + 50, screen.y + 14, 90, "grey")
        screen.words(EDGE + 50, screen.y + 28, 70)
        way = screen.rng.choice(("ON WAY", "SENT", "ARRIVED"))
        screen.text(EDGE + 50, screen.y + 45, way, size=9, ink="green")
        screen.y += 64


def map(screen: Screen) -> None:
    screen.box((0, screen.y, WIDTH, screen.y + 86), "#dcebd3", round_by=0)
    ways = (
        "line white 5 0 70 40 20 100 60",
        "line white 5 30 0 50 100",
        "line white 4 70 0 62 100",
    )
    shapes(
        screen, (*ways, "line blue 2 12 62 42 30 66 54 86 24"), (0, screen.y, WIDTH, screen.y + 86)
    )
    shapes(screen, PIN, (WIDTH * 0.8, screen.y + 2, WIDTH * 0.92, screen.y + 24))
    screen.y += 90


def track(screen: Screen, count: str) -> None:
    """Where the parcel was: a line of marks, the newest on top."""
    last = int(count) - 1
    for number in range(int(count)):
        x, y = EDGE + 10, screen.y + 12
        if number < last:
            screen.brush.line((x, y, x, y + 38), fill="#dfe2e7", width=2)
        ink = screen.accent if number == 0 else "#9aa0a8"
        screen.brush.ellipse((x - 5, y - 5, x + 5, y + 5), fill=ink)
        screen.words(EDGE + 24, y, 112, "grey")
        hour = f"{screen.rng.randint(1, 12):02}-{screen.rng.randint(1, 28):02}"
        screen.text(EDGE + 24, y + 14, hour, size=9, ink="grey")
        screen.y += 38


def steps(screen: Screen, count: str) -> None:
    done, total = screen.rng.randrange(1, int(count) + 1), int(count)
    y = screen.y + 14
    for number in range(total):
        x = WIDTH * (number + 0.5) / total
        ink = screen.accent if number < done else "#dfe2e7"
        if number:
            screen.brush.line((x - WIDTH / total, y, x, y), fill=ink, width=2)
        screen.brush.ellipse((x - 7, y - 7, x + 7, y + 7), fill=ink)
        screen.text(x, y, f"{number + 1}", size=9, ink="white", at="mm")
    screen.y += 32


def checks(screen: Screen, count: str) -> None:
    """A cart: each row with a mark in front, and how many of it."""
    for number in range(int(count)):
        card(screen, 54)
        _mark(screen, EDGE + 8, screen.y + 27, screen.rng.random() < 0.7)
        (screen.thing if number == 0 else screen.other)(EDGE + 20, screen.y + 6, 42)
        screen.words(EDGE + 70, screen.y + 14, 70, "grey")
        cost = screen.price if number == 0 else screen.rng.randint(3, 99)
        screen.text(EDGE + 70, screen.y + 38, f"${cost}", size=11, ink=screen.accent)
        screen.text(_RIGHT - 4, screen.y + 38, "-  1  +", size=10, ink="grey", at="rm")
        screen.y += 59


def total(screen: Screen, title: str) -> None:
    high = screen.image.height
    screen.box((0, high - 38, WIDTH, high), "white", round_by=0)
    _mark(screen, EDGE + 6, high - 19, True)
    screen.text(EDGE + 18, high - 19, f"${screen.price + screen.rng.randint(3, 200)}", size=12)
    screen.box((WIDTH - 84, high - 32, _RIGHT, high - 7), screen.accent, round_by=12)
    screen.text(WIDTH - 46, high - 19, title, size=11, ink="white", at="mm")


def shop(screen: Screen) -> None:
    screen.box((0, 0, WIDTH, 70), screen.accent, round_by=0)
    screen.brush.ellipse((EDGE, 22, EDGE + 36, 58), fill="#ffffff")
    screen.text(EDGE + 18, 40, "S", size=18, ink=screen.accent, at="mm")
    screen.words(EDGE + 44, 34, 50, "white")
    screen.text(EDGE + 44, 50, "4.8", size=10, ink="white")
    screen.box((_RIGHT - 44, 30, _RIGHT, 50), "white", round_by=10)
    screen.text(_RIGHT - 22, 40, "FOLLOW", size=9, ink=screen.accent, at="mm")
    screen.y = 76


def grid(screen: Screen, count: str) -> None:
    side = (WIDTH - 3 * EDGE) / 2
    for number in range(int(count)):
        x = EDGE + (side + EDGE) * (number % 2)
        (screen.thing if number == 0 else screen.other)(x, screen.y, side)
        cost = screen.price if number == 0 else screen.rng.randint(3, 99)
        screen.text(x, screen.y + side + 10, f"${cost}", size=12, ink=screen.accent)
        screen.y += (side + 22) * (number % 2)


def banner(screen: Screen, title: str) -> None:
    screen.box((0, 0, WIDTH, 78), "red", round_by=0)
    rays = [f"poly orange 50 50 {x} 0 {x + 8} 0" for x in range(0, 100, 20)]
    shapes(screen, (*rays, "ell yellow 4 60 14 90", "ell yellow 86 6 98 40"), (0, 0, WIDTH, 78))
    screen.text(WIDTH / 2, 40, title, size=28, ink="white", at="mm")
    screen.y = 84


def coupons(screen: Screen, count: str) -> None:
    """Tickets with a notch and a dashed line, and a button to get each."""
    for _ in range(int(count)):
        top, low = screen.y + 2, screen.y + 52
        screen.box((EDGE, top, _RIGHT, low), "#ffe3e3", round_by=5)
        for y in range(int(top) + 4, int(low) - 4, 6):
            screen.brush.line((58, y, 58, y + 3), fill="#e03131")
        for y in (top, low):
            screen.brush.ellipse((54, y - 4, 62, y + 4), fill="#f4f5f7")
        screen.text(34, (top + low) / 2, f"-{screen.rng.choice((5, 10, 20, 50))}", size=18,
                    ink="red", at="mm")  # fmt: skip
        screen.words(68, top + 18, 44, "grey")
        screen.words(68, top + 32, 36)
        screen.box((_RIGHT - 36, top + 15, _RIGHT - 6, top + 35), "red", round_by=9)
        screen.text(_RIGHT - 21, top + 25, "GET", size=9, ink="white", at="mm")
        screen.y += 58


def ledger(screen: Screen, count: str) -> None:
    for _ in range(int(count)):
        screen.brush.ellipse((EDGE, screen.y + 5, EDGE + 20, screen.y + 25),
                             fill=screen.rng.choice(("#1c5fd4", "#2f9e44", "#f08c00")))  # fmt: skip
        screen.words(EDGE + 28, screen.y + 10, 60, "grey")
        screen.words(EDGE + 28, screen.y + 21, 40)
        gain = screen.rng.random() < 0.3
        change = (
            f"{'+' if gain else '-'}{screen.rng.randint(1, 300)}.{screen.rng.randint(0, 99):02}"
        )
        screen.text(_RIGHT, screen.y + 15, change, size=11, ink="red" if gain else "dark", at="rm")
        screen.brush.line((EDGE, screen.y + 31, _RIGHT, screen.y + 31), fill="#dfe2e7")
        screen.y += 33


def profile(screen: Screen) -> None:
    x, y = WIDTH / 2, screen.y + 34
    screen.brush.ellipse((x - 28, y - 28, x + 28, y + 28), fill="#dfe2e7")
    screen.brush.ellipse((x - 10, y - 18, x + 10, y + 2), fill="#9aa0a8")
    screen.brush.pieslice((x - 19, y + 4, x + 19, y + 44), 180, 360, fill="#9aa0a8")
    screen.y += 72


def fields(screen: Screen, count: str) -> None:
    """Names, values and an arrow to change them."""
    for _ in range(int(count)):
        screen.words(EDGE, screen.y + 14, 40, "grey")
        screen.words(_RIGHT - 70, screen.y + 14, 52)
        x, y = _RIGHT - 6, screen.y + 14
        screen.brush.line((x, y - 4, x + 4, y, x, y + 4), fill="#9aa0a8")
        screen.brush.line((EDGE, screen.y + 28, _RIGHT, screen.y + 28), fill="#dfe2e7")
        screen.y += 29


def _mark(screen: Screen, x: float, y: float, chosen: bool) -> None:
    corners = (x - 6, y - 6, x + 6, y + 6)
    screen.brush.ellipse(corners, fill=screen.accent if chosen else None, outline="#9aa0a8")
    if chosen:
        screen.brush.line((x - 3, y, x - 1, y + 3, x + 3, y - 3), fill="#ffffff", width=1)


BLOCKS: dict[str, Block] = FIRST | {
    block.__name__: block
    for block in (
        methods, radios, textbox, bubbles, input, reviews, parcels, map, track,
        steps, checks, total, shop, grid, banner, coupons, ledger, profile, fields,
    )
}  # fmt: skip
