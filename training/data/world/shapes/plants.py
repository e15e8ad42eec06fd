"""Plants."""

from math import cos, pi, sin

from training.data.world.shapes.marks import Thing, blob, box, curve, disc, line, poly

# fmt: off
PLANTS: dict[str, Thing] = {
    "tree": (
        poly("dark", 0.43, 0.55, 0.57, 0.55, 0.64, 1.0, 0.36, 1.0),
        *(
            disc("main", x, y, 0.2)
            for x, y in ((0.22, 0.46), (0.78, 0.46), (0.32, 0.24), (0.68, 0.24), (0.5, 0.5))
        ),
        disc("main", 0.5, 0.2, 0.2),
        disc("deep", 0.36, 0.42, 0.06),
        disc("deep", 0.62, 0.3, 0.06),
        disc("deep", 0.68, 0.52, 0.06),
    ),
    "flower": (
        curve("dark", 0.05, 0.5, 0.5, 0.52, 0.76, 0.48, 1.0),
        blob("dark", 0.5, 0.88, 0.62, 0.72, 0.84, 0.7, 0.74, 0.86),
        *(
            disc("main", 0.5 + 0.22 * cos(turn * pi / 3), 0.34 + 0.22 * sin(turn * pi / 3), 0.125)
            for turn in range(6)
        ),
        disc("light", 0.5, 0.34, 0.12),
    ),
    "cactus": (
        line("main", 0.14, 0.18, 0.24, 0.18, 0.5, 0.5, 0.5),
        line("main", 0.14, 0.82, 0.16, 0.82, 0.4, 0.5, 0.4),
        *(disc("main", x, y, 0.07) for x, y in ((0.18, 0.24), (0.82, 0.16), (0.18, 0.5))),
        disc("main", 0.82, 0.4, 0.07),
        box("main", 0.38, 0.12, 0.62, 0.78),
        disc("main", 0.5, 0.12, 0.12),
        *(
            line("light", 0.022, x - 0.03, y - 0.03, x + 0.03, y + 0.03)
            for x, y in ((0.44, 0.2), (0.56, 0.3), (0.44, 0.42), (0.56, 0.54), (0.44, 0.64))
        ),
        box("dark", 0.26, 0.72, 0.74, 0.79),
        poly("dark", 0.3, 0.78, 0.7, 0.78, 0.64, 1.0, 0.36, 1.0),
    ),
    "leaf": (
        blob(
            "main", 0.97, 0.03, 0.96, 0.3, 0.84, 0.64, 0.56, 0.84, 0.2, 0.8, 0.16, 0.44, 0.36,
            0.16, 0.7, 0.04,
        ),
        line("dark", 0.05, 0.03, 0.97, 0.24, 0.76),
        line("light", 0.04, 0.24, 0.76, 0.84, 0.16),
        *(
            line("light", 0.028, at, 1 - at, at + dx, 1 - at - dy)
            for at in (0.36, 0.52, 0.68)
            for dx, dy in ((-0.03, 0.2), (0.2, -0.03))
        ),
    ),
}
