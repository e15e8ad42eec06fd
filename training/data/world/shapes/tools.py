"""Tools."""

from training.data.world.shapes.marks import (
    Thing,
    blob,
    box,
    curve,
    disc,
    ellipse,
    line,
    poly,
    ring,
    twin,
)

# fmt: off
TOOLS: dict[str, Thing] = {
    "hammer": (
        poly("deep", 0.43, 0.2, 0.57, 0.2, 0.6, 1.0, 0.4, 1.0),
        blob(
            "main", 0.44, 0.06, 0.62, 0.06, 0.82, 0.12, 0.98, 0.38, 0.74, 0.29, 0.58, 0.32, 0.44,
            0.32,
        ),
        box("main", 0.2, 0.08, 0.6, 0.31),
        box("main", 0.06, 0.02, 0.24, 0.37),
    ),
    "scissors": (
        poly("dark", 0.2, 0.0, 0.3, 0.02, 0.58, 0.6, 0.48, 0.64),
        poly("dark", 0.8, 0.0, 0.7, 0.02, 0.42, 0.6, 0.52, 0.64),
        *twin(line("main", 0.13, 0.53, 0.5, 0.32, 0.72)),
        *twin(ring("main", 0.11, 0.02, 0.58, 0.44, 1.0)),
        disc("light", 0.5, 0.53, 0.035),
    ),
    "ladder": (
        *twin(poly("main", 0.26, 0.0, 0.36, 0.0, 0.24, 1.0, 0.12, 1.0)),
        *(
            box("main", 0.3 - y * 0.14, y, 0.7 + y * 0.14, y + 0.085)
            for y in (0.1, 0.28, 0.46, 0.64, 0.82)
        ),
    ),
    "bucket": (
        curve("dark", 0.045, 0.1, 0.36, 0.16, 0.14, 0.5, 0.03, 0.84, 0.14, 0.9, 0.36),
        poly("main", 0.08, 0.36, 0.92, 0.36, 0.76, 0.92, 0.24, 0.92),
        ellipse("main", 0.24, 0.84, 0.76, 1.0),
        ellipse("deep", 0.08, 0.26, 0.92, 0.46),
        ellipse("light", 0.16, 0.3, 0.84, 0.42),
        line("deep", 0.035, 0.14, 0.58, 0.86, 0.58),
    ),
}
