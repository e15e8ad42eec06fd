"""What tests of the intake share."""

import time
from typing import Any

from colloquy.media.intake import Intake

AT = "body/dialogue/utterances/3/content/1/image_url/url"


async def assert_works(intake: Intake, pictures: Any) -> None:
    good = pictures.encode(pictures.drawn(mark=int(time.monotonic_ns() % 60_000)))
    started = time.perf_counter()
    await intake.accept("acme", [pictures.source(good)])
    # Some 5 ms on a quiet machine; far below any timeout on a busy one.
    assert time.perf_counter() - started < 3
