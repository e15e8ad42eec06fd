"""Decoders that hang, die or are too few."""

import asyncio
import os
import resource
import signal
import time
from typing import Any

import psutil
import pytest

from colloquy.media.blobs import BlobStore
from colloquy.media.decoding import DecodePool
from colloquy.media.failures import (
    BadImage,
    DecodeKilled,
    DecodersDown,
    ImageTooLarge,
)
from colloquy.media.headers import Header
from colloquy.media.intake import Intake
from colloquy.profile import Media
from tests.integration.media.intakes import assert_works

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_decoder_that_hangs_is_replaced_and_others_go_on(
    blobs: BlobStore, limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"decode_timeout_ms": 1_500})
    async with DecodePool(settings) as pool:
        intake = Intake(settings, blobs, pool)
        stopped = pool.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        sources = [
            pictures.source(pictures.encode(pictures.drawn(mark=n)), str(n)) for n in range(2)
        ]
        with pytest.raises(BadImage, match="too long"):
            await intake.accept("acme", sources)
        await assert_works(intake, pictures)
        await asyncio.sleep(0.5)

        assert stopped not in pool.pids
        assert len(pool.pids) == 2
        assert pool.check().ready


async def test_a_decoder_that_is_killed_at_work_costs_nobody_anything(
    blobs: BlobStore, limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"workers": 1})
    async with DecodePool(settings) as pool:
        intake = Intake(settings, blobs, pool)
        (doomed,) = pool.pids
        os.kill(doomed, signal.SIGSTOP)
        task = asyncio.create_task(
            intake.accept("acme", [pictures.source(pictures.encode(pictures.drawn(mark=5)))])
        )
        await asyncio.sleep(0.1)
        os.kill(doomed, signal.SIGKILL)

        assert await task
        assert pool.pids != [doomed]


async def test_a_picture_that_crashes_every_decoder_fails_alone(
    blobs: BlobStore, limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"workers": 1})
    async with DecodePool(settings) as pool:
        # A format's name that is cut within a letter ends the decoder's own reading.
        with pytest.raises(DecodeKilled):
            await pool.decode(b"x", Header("image/aéééé", 4, 4), 100)

        await assert_works(Intake(settings, blobs, pool), pictures)


async def test_a_decoder_that_died_while_idle_costs_nobody_anything(
    blobs: BlobStore, limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"workers": 1})
    async with DecodePool(settings) as pool:
        os.kill(pool.pids[0], signal.SIGKILL)
        await asyncio.sleep(0.1)

        await assert_works(Intake(settings, blobs, pool), pictures)


async def test_a_picture_beyond_the_memory_of_a_decoder_is_too_large(
    blobs: BlobStore, limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"worker_memory_mib": 150})
    large = pictures.encode(pictures.drawn((7_000, 5_000)))
    async with DecodePool(settings) as pool:
        intake = Intake(settings, blobs, pool)
        with pytest.raises(ImageTooLarge, match="memory"):
            await intake.accept("acme", [pictures.source(large)])
        await assert_works(intake, pictures)


async def test_a_picture_that_killed_a_decoder_is_not_tried_again(
    blobs: BlobStore, limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"decode_timeout_ms": 1_000, "workers": 1})
    poison = pictures.source(pictures.encode(pictures.drawn(mark=8)))
    async with DecodePool(settings) as pool:
        intake = Intake(settings, blobs, pool)
        os.kill(pool.pids[0], signal.SIGSTOP)
        with pytest.raises(BadImage):
            await intake.accept("acme", [poison])

        started = time.perf_counter()
        with pytest.raises(BadImage):
            await intake.accept("acme", [poison])
        assert time.perf_counter() - started < 0.1


async def test_a_stuck_pool_is_not_ready(limits: Media, pictures: Any) -> None:
    settings = limits.model_copy(update={"decode_timeout_ms": 60_000, "workers": 1})
    async with DecodePool(settings, stuck_after_ms=200) as pool:
        assert pool.check().ready
        os.kill(pool.pids[0], signal.SIGSTOP)
        data = pictures.encode(pictures.drawn())
        waiting = asyncio.create_task(pool.decode(data, pictures.header(data), 10_000))
        await asyncio.sleep(0.4)

        check = pool.check()
        assert not check.ready
        assert check.detail == "a decoder is stuck"
    await asyncio.gather(waiting, return_exceptions=True)


async def test_more_pictures_than_may_wait_are_refused(limits: Media, pictures: Any) -> None:
    settings = limits.model_copy(update={"workers": 1, "decode_timeout_ms": 1_000})
    data = pictures.encode(pictures.drawn())
    async with DecodePool(settings, max_waiting=3) as pool:
        os.kill(pool.pids[0], signal.SIGSTOP)
        jobs = [
            asyncio.create_task(pool.decode(data, pictures.header(data), 10_000)) for _ in range(9)
        ]
        done = await asyncio.gather(*jobs, return_exceptions=True)

    assert sum(getattr(error, "slug", "") == "decoders-busy" for error in done) >= 5


async def test_a_caller_who_leaves_frees_its_place_in_the_queue(
    limits: Media, pictures: Any
) -> None:
    settings = limits.model_copy(update={"workers": 1})
    data = pictures.encode(pictures.drawn())
    async with DecodePool(settings, max_waiting=3) as pool:
        os.kill(pool.pids[0], signal.SIGSTOP)
        jobs = [
            asyncio.create_task(pool.decode(data, pictures.header(data), 10_000)) for _ in range(3)
        ]
        await asyncio.sleep(0.05)
        for job in jobs[1:]:
            job.cancel()
        await asyncio.sleep(0.05)

        assert pool.waiting == 0


async def test_decoders_know_no_secret_and_hold_no_file_of_the_server(decoder: DecodePool) -> None:
    for pid in decoder.pids:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: ASYNC230
            assert file.read().strip(b"\0").split(b"\0") == [b"MALLOC_ARENA_MAX=1"]
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert sum(link.startswith("socket:") for link in links) == 1
        assert all(link == "/dev/null" or link.startswith("socket:") for link in links)
        assert resource.prlimit(pid, resource.RLIMIT_AS)[0] == 1_024 << 20


async def test_a_pool_that_ends_leaves_no_process(limits: Media) -> None:
    async with DecodePool(limits) as pool:
        pids = pool.pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_pool_that_ends_leaves_nobody_waiting(limits: Media, pictures: Any) -> None:
    data = pictures.encode(pictures.drawn())
    async with DecodePool(limits.model_copy(update={"workers": 1})) as pool:
        os.kill(pool.pids[0], signal.SIGSTOP)
        jobs = [
            asyncio.create_task(pool.decode(data, pictures.header(data), 10_000)) for _ in range(3)
        ]
        await asyncio.sleep(0.1)
    answers = await asyncio.gather(*jobs, return_exceptions=True)

    assert [type(answer) for answer in answers] == [DecodersDown] * 3


async def test_a_pool_may_start_with_its_first_picture(limits: Media, pictures: Any) -> None:
    data = pictures.encode(pictures.drawn())
    async with DecodePool(limits, eager=False) as pool:
        assert pool.pids == []
        assert pool.check().ready
        picture = await pool.decode(data, pictures.header(data), 1_000)

    assert picture.width * picture.height <= 1_000
