"""Stored pictures at the size a task asks for."""

from pathlib import Path
from typing import Any

import pytest

from colloquy.media.blobs import BlobReader
from colloquy.media.decoding import DecodePool
from colloquy.media.failures import BlobMissing
from colloquy.media.fit import Fitter, content_key, fit_pixels
from colloquy.media.intake import Intake

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_picture_that_fits_is_left_to_the_byte(decoder: DecodePool, pictures: Any) -> None:
    data = pictures.encode(pictures.drawn((200, 100)))

    assert (await fit_pixels(decoder, data, 20_000)).data == data


@pytest.mark.parametrize("size", [(2_000, 1_000), (50, 9_000), (1_001, 999)])
async def test_a_larger_one_is_shrunk_to_the_budget(
    decoder: DecodePool, pictures: Any, size: tuple[int, int]
) -> None:
    fitted = await fit_pixels(decoder, pictures.encode(pictures.drawn(size)), 60_000)

    assert 0.9 * 60_000 < fitted.width * fitted.height <= 60_000
    assert abs((fitted.width / fitted.height) / (size[0] / size[1]) - 1) < 0.06
    assert pictures.header(fitted.data).width == fitted.width


async def test_a_stored_picture_is_fitted_once_for_its_tenant_alone(
    intake: Intake, decoder: DecodePool, pictures: Any, tmp_path: Path
) -> None:
    (stored,) = await intake.accept(
        "acme", [pictures.source(pictures.encode(pictures.drawn((900, 900))))]
    )
    fitter = Fitter(BlobReader(tmp_path / "blobs", b"k" * 32), decoder)

    first = await fitter.fit("acme", stored.ref, 100_000)

    assert await fitter.fit("acme", stored.ref, 100_000) is first
    assert (await fitter.fit("acme", stored.ref, 50_000)).width < first.width
    with pytest.raises(BlobMissing):
        await fitter.fit("rival", stored.ref, 100_000)


async def test_the_same_bytes_have_another_key_for_another_tenant() -> None:
    assert content_key("acme", b"x") != content_key("rival", b"x")
