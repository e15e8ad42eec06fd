"""How each thing is drawn: shapes in the unit square, painted in order."""

from dataclasses import dataclass
from typing import Literal

Form = Literal["ellipse", "ring", "box", "polygon", "line"]
Ink = Literal["main", "deep", "dark", "light"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One mark; `points` are x, y pairs from the top left, `width` a share of the size."""

    form: Form
    ink: Ink
    points: tuple[float, ...]
    width: float = 0.06


def _ellipse(ink: Ink, *points: float) -> Shape:
    return Shape("ellipse", ink, points)


def _box(ink: Ink, *points: float) -> Shape:
    return Shape("box", ink, points)


def _poly(ink: Ink, *points: float) -> Shape:
    return Shape("polygon", ink, points)


def _line(ink: Ink, width: float, *points: float) -> Shape:
    return Shape("line", ink, points, width)


def _ring(ink: Ink, width: float, *points: float) -> Shape:
    return Shape("ring", ink, points, width)


SHAPES: dict[str, tuple[Shape, ...]] = {
    "cat": (
        _poly("main", 0.15, 0.05, 0.4, 0.3, 0.12, 0.45),
        _poly("main", 0.85, 0.05, 0.6, 0.3, 0.88, 0.45),
        _ellipse("main", 0.1, 0.2, 0.9, 0.95),
        _ellipse("dark", 0.28, 0.42, 0.4, 0.56),
        _ellipse("dark", 0.6, 0.42, 0.72, 0.56),
        _line("dark", 0.02, 0.02, 0.66, 0.4, 0.7),
        _line("dark", 0.02, 0.98, 0.66, 0.6, 0.7),
    ),
    "dog": (
        _ellipse("main", 0.2, 0.1, 0.8, 0.75),
        _ellipse("deep", 0.05, 0.12, 0.3, 0.65),
        _ellipse("deep", 0.7, 0.12, 0.95, 0.65),
        _ellipse("light", 0.32, 0.5, 0.68, 0.95),
        _ellipse("dark", 0.42, 0.54, 0.58, 0.66),
        _ellipse("dark", 0.32, 0.3, 0.42, 0.42),
        _ellipse("dark", 0.58, 0.3, 0.68, 0.42),
    ),
    "fish": (
        _poly("deep", 0.7, 0.5, 1.0, 0.22, 1.0, 0.78),
        _ellipse("main", 0.0, 0.25, 0.8, 0.75),
        _ellipse("light", 0.1, 0.38, 0.24, 0.52),
        _ellipse("dark", 0.14, 0.42, 0.2, 0.49),
    ),
    "bird": (
        _ellipse("main", 0.2, 0.3, 0.85, 0.8),
        _ellipse("main", 0.05, 0.1, 0.45, 0.48),
        _poly("dark", 0.08, 0.25, -0.08, 0.33, 0.08, 0.38),
        _poly("deep", 0.4, 0.5, 0.95, 0.3, 0.7, 0.68),
        _line("dark", 0.03, 0.5, 0.78, 0.5, 0.98),
        _line("dark", 0.03, 0.62, 0.78, 0.62, 0.98),
        _ellipse("dark", 0.18, 0.2, 0.26, 0.28),
    ),
    "rabbit": (
        _ellipse("main", 0.25, 0.0, 0.42, 0.5),
        _ellipse("main", 0.58, 0.0, 0.75, 0.5),
        _ellipse("main", 0.18, 0.38, 0.82, 1.0),
        _ellipse("dark", 0.32, 0.55, 0.42, 0.66),
        _ellipse("dark", 0.58, 0.55, 0.68, 0.66),
        _box("light", 0.44, 0.8, 0.56, 0.93),
    ),
    "turtle": (
        _ellipse("deep", 0.72, 0.42, 1.0, 0.68),
        _box("deep", 0.18, 0.65, 0.3, 0.88),
        _box("deep", 0.58, 0.65, 0.7, 0.88),
        _ellipse("main", 0.05, 0.2, 0.8, 1.0),
        _box("light", 0.0, 0.76, 0.85, 0.8),
        _ring("dark", 0.03, 0.25, 0.3, 0.6, 0.62),
    ),
    "apple": (
        _ellipse("main", 0.08, 0.28, 0.58, 0.95),
        _ellipse("main", 0.42, 0.28, 0.92, 0.95),
        _line("dark", 0.05, 0.5, 0.36, 0.56, 0.06),
        _ellipse("light", 0.2, 0.4, 0.3, 0.56),
    ),
    "banana": (
        _poly(
            "main",
            0.05,
            0.2,
            0.2,
            0.15,
            0.3,
            0.5,
            0.6,
            0.7,
            0.95,
            0.7,
            0.95,
            0.8,
            0.6,
            0.95,
            0.25,
            0.8,
        ),
        _box("dark", 0.03, 0.1, 0.16, 0.2),
    ),
    "cake": (
        _box("main", 0.08, 0.55, 0.92, 0.95),
        _box("light", 0.08, 0.5, 0.92, 0.62),
        _box("deep", 0.25, 0.3, 0.75, 0.52),
        _line("dark", 0.04, 0.5, 0.3, 0.5, 0.1),
        _ellipse("light", 0.45, 0.0, 0.55, 0.14),
    ),
    "icecream": (
        _poly("deep", 0.25, 0.5, 0.75, 0.5, 0.5, 1.0),
        _ellipse("main", 0.2, 0.05, 0.8, 0.6),
        _ellipse("light", 0.3, 0.15, 0.45, 0.28),
    ),
    "pizza": (
        _poly("main", 0.02, 0.1, 0.98, 0.1, 0.5, 1.0),
        _box("deep", 0.0, 0.02, 1.0, 0.16),
        _ellipse("dark", 0.28, 0.25, 0.42, 0.4),
        _ellipse("dark", 0.58, 0.25, 0.72, 0.4),
        _ellipse("dark", 0.44, 0.52, 0.58, 0.66),
    ),
    "carrot": (
        _poly("main", 0.3, 0.3, 0.7, 0.3, 0.5, 1.0),
        _line("dark", 0.06, 0.5, 0.32, 0.3, 0.02),
        _line("dark", 0.06, 0.5, 0.32, 0.5, 0.0),
        _line("dark", 0.06, 0.5, 0.32, 0.7, 0.02),
        _line("deep", 0.03, 0.38, 0.5, 0.55, 0.5),
    ),
    "mushroom": (
        _box("light", 0.38, 0.45, 0.62, 0.98),
        _ellipse("main", 0.05, 0.05, 0.95, 0.62),
        _ellipse("light", 0.22, 0.2, 0.36, 0.34),
        _ellipse("light", 0.5, 0.12, 0.62, 0.25),
        _ellipse("light", 0.66, 0.3, 0.78, 0.42),
    ),
    "car": (
        _poly("main", 0.25, 0.45, 0.35, 0.22, 0.7, 0.22, 0.8, 0.45),
        _box("main", 0.02, 0.42, 0.98, 0.7),
        _box("light", 0.38, 0.28, 0.66, 0.42),
        _ellipse("dark", 0.12, 0.58, 0.36, 0.82),
        _ellipse("dark", 0.64, 0.58, 0.88, 0.82),
    ),
    "bike": (
        _ring("dark", 0.05, 0.0, 0.45, 0.42, 0.87),
        _ring("dark", 0.05, 0.58, 0.45, 1.0, 0.87),
        _line("main", 0.07, 0.21, 0.66, 0.42, 0.35, 0.7, 0.35, 0.79, 0.66),
        _line("main", 0.07, 0.42, 0.35, 0.5, 0.66, 0.7, 0.35),
        _line("main", 0.06, 0.66, 0.2, 0.8, 0.2),
    ),
    "boat": (
        _poly("main", 0.02, 0.65, 0.98, 0.65, 0.8, 0.92, 0.2, 0.92),
        _line("dark", 0.04, 0.5, 0.65, 0.5, 0.04),
        _poly("light", 0.54, 0.08, 0.54, 0.58, 0.92, 0.58),
        _poly("deep", 0.46, 0.16, 0.46, 0.58, 0.14, 0.58),
    ),
    "plane": (
        _ellipse("main", 0.02, 0.4, 0.95, 0.6),
        _poly("deep", 0.4, 0.5, 0.62, 0.5, 0.5, 0.98, 0.38, 0.98),
        _poly("deep", 0.4, 0.46, 0.62, 0.46, 0.5, 0.04, 0.38, 0.04),
        _poly("main", 0.8, 0.48, 1.0, 0.22, 1.0, 0.5),
    ),
    "bus": (
        _box("main", 0.02, 0.18, 0.98, 0.78),
        *(_box("light", x, 0.28, x + 0.16, 0.48) for x in (0.1, 0.32, 0.54, 0.76)),
        _ellipse("dark", 0.14, 0.66, 0.34, 0.9),
        _ellipse("dark", 0.66, 0.66, 0.86, 0.9),
    ),
    "train": (
        _box("main", 0.05, 0.4, 0.95, 0.72),
        _box("main", 0.6, 0.12, 0.95, 0.45),
        _box("light", 0.68, 0.2, 0.86, 0.34),
        _box("dark", 0.15, 0.12, 0.28, 0.42),
        *(_ellipse("dark", x, 0.66, x + 0.22, 0.9) for x in (0.08, 0.39, 0.7)),
    ),
    "chair": (
        _box("main", 0.2, 0.02, 0.32, 0.98),
        _box("main", 0.2, 0.5, 0.82, 0.62),
        _box("main", 0.7, 0.6, 0.82, 0.98),
        _box("deep", 0.3, 0.1, 0.38, 0.4),
    ),
    "lamp": (
        _poly("main", 0.3, 0.05, 0.7, 0.05, 0.9, 0.45, 0.1, 0.45),
        _box("dark", 0.46, 0.45, 0.54, 0.88),
        _box("dark", 0.25, 0.86, 0.75, 0.96),
    ),
    "clock": (
        _ellipse("main", 0.05, 0.05, 0.95, 0.95),
        _ellipse("light", 0.16, 0.16, 0.84, 0.84),
        _line("dark", 0.05, 0.5, 0.5, 0.5, 0.24),
        _line("dark", 0.05, 0.5, 0.5, 0.7, 0.6),
    ),
    "cup": (
        _ring("deep", 0.07, 0.58, 0.35, 0.98, 0.75),
        _box("main", 0.12, 0.25, 0.75, 0.9),
        _ellipse("light", 0.12, 0.17, 0.75, 0.33),
    ),
    "bed": (
        _box("deep", 0.02, 0.2, 0.1, 0.9),
        _box("main", 0.05, 0.52, 0.98, 0.76),
        _box("light", 0.1, 0.4, 0.36, 0.56),
        _box("deep", 0.9, 0.6, 0.98, 0.9),
    ),
    "vase": (
        _line("dark", 0.03, 0.5, 0.5, 0.34, 0.14),
        _line("dark", 0.03, 0.5, 0.5, 0.66, 0.14),
        _ellipse("light", 0.24, 0.02, 0.44, 0.2),
        _ellipse("light", 0.56, 0.02, 0.76, 0.2),
        _box("main", 0.4, 0.36, 0.6, 0.55),
        _ellipse("main", 0.24, 0.48, 0.76, 1.0),
    ),
    "key": (
        _ring("main", 0.1, 0.0, 0.3, 0.4, 0.7),
        _box("main", 0.36, 0.45, 1.0, 0.55),
        _box("main", 0.74, 0.5, 0.82, 0.72),
        _box("main", 0.9, 0.5, 0.98, 0.76),
    ),
    "hat": (
        _ellipse("deep", 0.0, 0.62, 1.0, 0.88),
        _box("main", 0.24, 0.15, 0.76, 0.74),
        _box("dark", 0.24, 0.56, 0.76, 0.68),
    ),
    "shoe": (
        _poly("main", 0.05, 0.25, 0.4, 0.25, 0.5, 0.48, 0.95, 0.6, 0.98, 0.75, 0.05, 0.75),
        _box("light", 0.03, 0.75, 1.0, 0.86),
        _line("dark", 0.03, 0.38, 0.4, 0.5, 0.33),
        _line("dark", 0.03, 0.46, 0.5, 0.58, 0.42),
    ),
    "shirt": (
        _poly(
            "main",
            0.28,
            0.08,
            0.72,
            0.08,
            1.0,
            0.3,
            0.86,
            0.5,
            0.76,
            0.4,
            0.76,
            0.95,
            0.24,
            0.95,
            0.24,
            0.4,
            0.14,
            0.5,
            0.0,
            0.3,
        ),
        _poly("light", 0.38, 0.06, 0.62, 0.06, 0.5, 0.26),
        _line("dark", 0.02, 0.5, 0.28, 0.5, 0.92),
    ),
    "dress": (
        _poly("main", 0.36, 0.02, 0.64, 0.02, 0.62, 0.4, 0.95, 0.98, 0.05, 0.98, 0.38, 0.4),
        _box("dark", 0.37, 0.36, 0.63, 0.44),
    ),
    "glasses": (
        _ring("main", 0.08, 0.0, 0.32, 0.44, 0.72),
        _ring("main", 0.08, 0.56, 0.32, 1.0, 0.72),
        _line("main", 0.07, 0.42, 0.5, 0.58, 0.5),
    ),
    "bag": (
        _ring("deep", 0.07, 0.28, 0.04, 0.72, 0.56),
        _box("main", 0.08, 0.34, 0.92, 0.95),
        _box("light", 0.4, 0.44, 0.6, 0.58),
    ),
    "umbrella": (
        _line("dark", 0.05, 0.5, 0.3, 0.5, 0.92, 0.64, 0.92),
        _poly("main", 0.0, 0.5, 0.14, 0.24, 0.5, 0.06, 0.86, 0.24, 1.0, 0.5),
        _ellipse("light", 0.34, 0.46, 0.66, 0.56),
    ),
    "ball": (
        _ellipse("main", 0.06, 0.06, 0.94, 0.94),
        _line("light", 0.06, 0.06, 0.5, 0.94, 0.5),
        _line("light", 0.06, 0.5, 0.06, 0.5, 0.94),
    ),
    "kite": (
        _poly("main", 0.5, 0.0, 0.86, 0.34, 0.5, 0.74, 0.14, 0.34),
        _line("light", 0.03, 0.5, 0.0, 0.5, 0.74),
        _line("light", 0.03, 0.14, 0.34, 0.86, 0.34),
        _line("dark", 0.03, 0.5, 0.74, 0.64, 0.86, 0.5, 1.0),
    ),
    "guitar": (
        _ellipse("main", 0.0, 0.5, 0.5, 1.0),
        _ellipse("main", 0.18, 0.36, 0.58, 0.76),
        _line("dark", 0.07, 0.4, 0.6, 0.95, 0.06),
        _ellipse("dark", 0.24, 0.56, 0.4, 0.72),
    ),
    "drum": (
        _box("main", 0.1, 0.38, 0.9, 0.85),
        _ellipse("main", 0.1, 0.74, 0.9, 0.98),
        _ellipse("light", 0.1, 0.26, 0.9, 0.5),
        _line("dark", 0.04, 0.1, 0.02, 0.46, 0.36),
        _line("dark", 0.04, 0.9, 0.02, 0.54, 0.36),
    ),
    "phone": (
        _box("main", 0.26, 0.02, 0.74, 0.98),
        _box("light", 0.31, 0.12, 0.69, 0.82),
        _ellipse("dark", 0.45, 0.85, 0.55, 0.95),
    ),
    "camera": (
        _box("main", 0.02, 0.28, 0.98, 0.86),
        _box("deep", 0.32, 0.14, 0.62, 0.3),
        _ellipse("light", 0.3, 0.34, 0.7, 0.8),
        _ellipse("dark", 0.38, 0.43, 0.62, 0.71),
    ),
    "book": (
        _poly("main", 0.0, 0.2, 0.5, 0.3, 0.5, 0.9, 0.0, 0.8),
        _poly("deep", 1.0, 0.2, 0.5, 0.3, 0.5, 0.9, 1.0, 0.8),
        _line("light", 0.03, 0.08, 0.38, 0.42, 0.45),
        _line("light", 0.03, 0.92, 0.38, 0.58, 0.45),
        _line("light", 0.03, 0.08, 0.55, 0.42, 0.62),
        _line("light", 0.03, 0.92, 0.55, 0.58, 0.62),
    ),
}
