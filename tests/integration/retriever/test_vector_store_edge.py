"""The embedded store when processes die, and while it builds a graph."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from colloquy.servicekit.problems import CollectionMissing, Unavailable
from services.retriever.domain import Key, Where
from services.retriever.vector_store_edge import EdgeStore
from tests.integration.retriever.stores_at_hand import (
    EVERYTHING,
    KEY,
    SCHEMA,
    STAGED,
    direction,
    edge_store,
    identity,
    numbers,
    point,
    terms,
)

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).parents[3]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    for _ in range(int(within_s / 0.005)):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


async def until_another_worker(store: EdgeStore, old: int | None) -> None:
    await until(lambda: store.worker_pid not in (old, None))


async def until_building(store: EdgeStore) -> int:
    """The process that builds a graph."""
    await until(lambda: store.optimiser_pid is not None)
    assert store.optimiser_pid is not None
    return store.optimiser_pid


async def until_all_in_the_graph(store: EdgeStore) -> None:
    for _ in range(1_200):
        if await store.unindexed(KEY) == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no graph was built")


def folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def logs_held_by(pid: int | None) -> set[Path]:
    """Shards that a worker has open: it maps their logs into its memory."""
    maps = psutil.Process(pid).memory_maps(grouped=True)
    return {Path(one.path).parents[1] for one in maps if "/wal/" in one.path}


async def stubborn_upsert(store: EdgeStore, numbers: range) -> None:
    """As the indexer does: the same points again until they are accepted."""
    while True:
        try:
            await store.upsert(KEY, [point(n, angle=n, words={n % 7: 1.0}) for n in numbers])
        except Unavailable:
            await asyncio.sleep(0.02)
        else:
            return


async def test_what_was_accepted_survives_the_death_of_the_worker(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        for round_ in range(3):
            await store.upsert(KEY, [point(n) for n in range(round_ * 50, round_ * 50 + 50)])
            await store.delete(KEY, Where(ids=(identity(round_ * 50),)))
            old = store.worker_pid
            kill(old)
            await until_another_worker(store, old)

            expected = [n for n in range(round_ * 50 + 50) if n % 50]
            assert await numbers(store, KEY) == expected


async def test_a_request_that_meets_a_dying_worker_is_told_to_try_again(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        worker = psutil.Process(store.worker_pid)
        worker.suspend()
        waiting = [asyncio.create_task(store.count(KEY, EVERYTHING)) for _ in range(2)]
        await asyncio.sleep(0.05)
        worker.kill()

        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
        assert all(isinstance(o, Unavailable) and o.retry_after_s for o in outcomes)
        await until_another_worker(store, worker.pid)
        assert await store.count(KEY, EVERYTHING) == 0


async def test_a_caller_that_leaves_takes_nobody_elses_answer(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await store.upsert(KEY, [point(n) for n in range(5)])
        worker = psutil.Process(store.worker_pid)
        worker.suspend()
        leaving = [asyncio.create_task(store.count(KEY, Where(ids=()))) for _ in range(20)]
        leaving += [asyncio.create_task(store.count(KEY, EVERYTHING)) for _ in range(20)]
        staying = asyncio.create_task(store.count(KEY, Where(ids=(identity(3),))))
        await asyncio.sleep(0.05)
        for task in leaving:
            task.cancel()
        worker.resume()

        assert await staying == 1


async def test_a_worker_that_is_down_is_seen(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        old = store.worker_pid
        kill(old)
        await until(lambda: not store.checks()[0].ready)
        assert store.checks()[0].detail
        await until_another_worker(store, old)
        assert store.checks()[0].ready


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    other = Key("acme", "other", staged=True)
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await store.open(other, SCHEMA)
        await store.upsert(KEY, [point(n, words={1: 1.0}) for n in range(10)])
        await store.upsert(other, [point(77)])
    async with edge_store(tmp_path) as store:
        assert await store.collections("acme") == ["talks"]
        assert await store.schema(KEY) == SCHEMA
        assert await numbers(store, KEY) == list(range(10))
        assert await numbers(store, other) == [77]
        assert len(await store.matching(KEY, terms({1: 1.0}), EVERYTHING, 20)) == 10


PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.integration.retriever.stores_at_hand import KEY, SCHEMA, edge_store, point

async def main():
    async with edge_store(Path(sys.argv[1])) as store:
        await store.open(KEY, SCHEMA)
        if sys.argv[2] == "write":
            await store.upsert(KEY, [point(n) for n in range(300)])
        building = asyncio.create_task(store.optimise(KEY)) if sys.argv[2] == "build" else None
        while building and store.optimiser_pid is None:
            await asyncio.sleep(0.001)
        print(store.worker_pid, store.optimiser_pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def run_program(folder: Path, what: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A retriever's part in a process of its own, and the processes that it started."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), what],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    line = program.stdout.readline()
    return program, [int(word) for word in line.split() if word != "None"]


def killed_with_all(program: subprocess.Popen[str], children: list[int]) -> None:
    assert program.stdout is not None
    program.kill()
    program.wait()
    program.stdout.close()
    give_up = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in children) and time.monotonic() < give_up:
        time.sleep(0.01)


async def test_its_processes_end_with_the_retriever_and_nothing_is_lost(tmp_path: Path) -> None:
    program, children = await asyncio.to_thread(run_program, tmp_path, "write")
    assert len(children) == 1
    await asyncio.to_thread(killed_with_all, program, children)

    assert not psutil.pid_exists(children[0])
    async with edge_store(tmp_path) as store:
        assert await numbers(store, KEY) == list(range(300))


async def test_a_graph_that_is_being_built_ends_with_the_retriever(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await store.upsert(KEY, [point(n) for n in range(100)])
    program, children = await asyncio.to_thread(run_program, tmp_path, "build")
    assert len(children) == 2
    await asyncio.to_thread(killed_with_all, program, children)

    assert not any(psutil.pid_exists(pid) for pid in children)
    async with edge_store(tmp_path) as store:
        assert await numbers(store, KEY) == list(range(100))
        [collection] = folders_in(tmp_path)
        assert len(folders_in(collection)) == 1


async def test_a_second_retriever_waits_until_the_first_has_left(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as first:
        await first.open(KEY, SCHEMA)
        second = EdgeStore(tmp_path)
        entering = asyncio.create_task(second.__aenter__())
        await asyncio.sleep(0.3)
        assert not entering.done()
    await entering
    assert await second.collections("acme") == ["talks"]
    await second.__aexit__(None, None, None)


async def test_many_collections_share_few_open_shards(tmp_path: Path) -> None:
    keys = [Key("acme", f"c{n}") for n in range(6)]
    async with edge_store(tmp_path, max_open_collections=2) as store:
        for number, key in enumerate(keys):
            await store.open(key, SCHEMA)
            await store.upsert(key, [point(number)])
        for number, key in reversed(list(enumerate(keys))):
            assert await numbers(store, key) == [number]
        assert len(logs_held_by(store.worker_pid)) == 2


async def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await store.upsert(KEY, [point(1)])
    [collection] = folders_in(tmp_path)
    (collection / "half-made").mkdir()
    (collection / "half-made.journal").write_bytes(b"x")
    (tmp_path / "never-named").mkdir()

    async with edge_store(tmp_path) as store:
        assert await numbers(store, KEY) == [1]

    assert folders_in(tmp_path) == [collection]
    assert len(os.listdir(collection)) == 2


async def test_a_collection_whose_description_is_damaged_is_left_out_and_kept(
    tmp_path: Path,
) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
    [collection] = folders_in(tmp_path)
    (collection / "collection.json").write_text("{")

    async with edge_store(tmp_path) as store:
        assert await store.collections("acme") == []

    assert len(os.listdir(collection)) == 2


async def test_after_optimising_no_point_is_outside_the_graph(tmp_path: Path) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await store.upsert(KEY, [point(n, angle=n / 3) for n in range(900)])
        assert await store.unindexed(KEY) == 900

        await store.optimise(KEY)

        assert await store.unindexed(KEY) == 0
        await store.upsert(KEY, [point(n, angle=n / 3, words={1: 1.0}) for n in range(890, 950)])
        assert 50 <= await store.unindexed(KEY) <= 60
        exact = await store.nearest(KEY, "clip", direction(99), EVERYTHING, 10, exact=True)
        found = await store.nearest(KEY, "clip", direction(99), EVERYTHING, 10, exact=False)
        assert [hit.id for hit in found] == [hit.id for hit in exact]


async def test_enough_new_points_have_a_graph_built_in_the_background(tmp_path: Path) -> None:
    async with edge_store(tmp_path, optimise_above_points=200) as store:
        await store.open(KEY, SCHEMA)
        await store.upsert(KEY, [point(n, words={1: 1.0}) for n in range(200)])
        assert store.optimiser_pid is None
        await store.upsert(KEY, [point(200)])

        await until_all_in_the_graph(store)
        assert await store.count(KEY, EVERYTHING) == 201


async def test_searches_and_writes_go_on_while_a_graph_is_built(tmp_path: Path) -> None:
    """Every write that was accepted meanwhile is there afterwards, every deletion too."""
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        for begin in range(0, 6_000, 500):
            await store.upsert(KEY, [point(n, angle=n / 17) for n in range(begin, begin + 500)])
        building = asyncio.create_task(store.optimise(KEY))
        written, searches = 6_000, 0
        while not building.done():
            await store.upsert(KEY, [point(n, angle=n / 17) for n in range(written, written + 20)])
            await store.delete(KEY, Where(ids=(identity(written), identity(written - 3_000))))
            written += 20
            hits = await store.nearest(KEY, "clip", direction(9), EVERYTHING, 5, exact=False)
            searches += len(hits) == 5
        await building

        gone = {n for at in range(6_000, written, 20) for n in (at, at - 3_000)}
        assert searches > 3
        assert await numbers(store, KEY) == [n for n in range(written) if n not in gone]
        assert await store.unindexed(KEY) < written - 5_000


@pytest.mark.parametrize("seed", range(4))
async def test_a_worker_that_dies_while_a_graph_is_built_loses_nothing(
    tmp_path: Path, seed: int
) -> None:
    moment = random.Random(seed).uniform(0, 1.5)
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await stubborn_upsert(store, range(2_000))
        building = asyncio.create_task(store.optimise(KEY))
        give_up = time.monotonic() + moment
        written = 2_000
        while time.monotonic() < give_up and not building.done():
            await stubborn_upsert(store, range(written, written + 20))
            written += 20
        kill(store.worker_pid)
        for _ in range(5):
            await stubborn_upsert(store, range(written, written + 20))
            written += 20
        await building

        assert await numbers(store, KEY) == list(range(written))


@pytest.mark.parametrize("seed", range(3))
async def test_a_builder_that_dies_is_followed_by_another(tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed).uniform(0, 0.6)
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await stubborn_upsert(store, range(2_000))
        building = asyncio.create_task(store.optimise(KEY))
        builder = await until_building(store)
        await asyncio.sleep(moment)
        if store.optimiser_pid == builder:
            kill(builder)
        await stubborn_upsert(store, range(2_000, 2_100))
        await building

        assert await numbers(store, KEY) == list(range(2_100))


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.integration.retriever.stores_at_hand import KEY, SCHEMA, edge_store, point

async def main():
    async with edge_store(Path(sys.argv[1])) as store:
        await store.open(KEY, SCHEMA)
        await store.upsert(KEY, [point(n, angle=n) for n in range(600)])
        written = 600
        print(written, flush=True)
        building = None
        while True:
            if building is None or building.done():
                building = asyncio.create_task(store.optimise(KEY))
            await store.upsert(KEY, [point(n, angle=n) for n in range(written, written + 5)])
            written += 5
            print(written, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(3))
async def test_killing_everything_while_graphs_are_built_loses_nothing(
    tmp_path: Path, seed: int
) -> None:
    """The retriever says what was accepted; at most the next write, unanswered, is there too."""
    accepted = await asyncio.to_thread(_write_and_die, tmp_path, random.Random(seed).uniform(1, 5))

    async with edge_store(tmp_path) as store:
        there = await numbers(store, KEY)
        assert there in (list(range(accepted)), list(range(accepted + 5)))
        await store.optimise(KEY)
        assert await numbers(store, KEY) == there


def _write_and_die(folder: Path, after_s: float) -> int:
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    first = program.stdout.readline()
    time.sleep(after_s)
    children = psutil.Process(program.pid).children()
    program.kill()
    rest = program.stdout.read()
    program.stdout.close()
    program.wait()
    psutil.wait_procs(children, timeout=10)
    # A line that was cut off was not said.
    return [int(line) for line in (first + rest).split("\n")[:-1]][-1]


async def test_a_collection_that_is_dropped_while_its_graph_is_built_stays_gone(
    tmp_path: Path,
) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await stubborn_upsert(store, range(1_000))
        building = asyncio.create_task(store.optimise(KEY))
        await until_building(store)
        await store.drop(KEY)

        with pytest.raises(CollectionMissing):
            await building
        with pytest.raises(CollectionMissing):
            await store.count(KEY, EVERYTHING)
        await until(lambda: folders_in(tmp_path) == [])


async def test_a_copy_that_is_promoted_while_its_graph_is_built_is_promoted(
    tmp_path: Path,
) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await store.open(STAGED, SCHEMA)
        await store.upsert(STAGED, [point(n) for n in range(1_000)])
        building = asyncio.create_task(store.optimise(STAGED))
        await until_building(store)
        await store.promote(KEY)
        await building

        assert await store.count(KEY, EVERYTHING) == 1_000
        assert await store.unindexed(KEY) == 0
        [collection] = folders_in(tmp_path)
        assert len(folders_in(collection)) == 1


async def test_a_caller_that_gives_up_an_optimising_leaves_no_process_and_no_folder(
    tmp_path: Path,
) -> None:
    async with edge_store(tmp_path) as store:
        await store.open(KEY, SCHEMA)
        await stubborn_upsert(store, range(3_000))
        building = asyncio.create_task(store.optimise(KEY))
        builder = await until_building(store)
        building.cancel()
        await asyncio.gather(building, return_exceptions=True)

        assert not psutil.pid_exists(builder)
        await store.upsert(KEY, [point(3_000)])
        assert await store.count(KEY, EVERYTHING) == 3_001
        [collection] = folders_in(tmp_path)
        await until(lambda: len(os.listdir(collection)) == 2)
