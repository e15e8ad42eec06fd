"""Runs the measurements on a stack of its own and writes `docs/benchmarks.md`'s table.

python -m benchmarks
python -m benchmarks --only overhead prefix --repeats 3 --dry-run
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import (
    embedding,
    footprint,
    overhead,
    plots,
    prefix_cache,
    rerank,
    tables,
    throughput,
    vector_search,
)
from benchmarks.asking import Engine, Gateway, Refused
from benchmarks.others import OthersFailed
from benchmarks.own_stack import OwnStack, own_stack
from benchmarks.retriever_side import RetrieverFailed
from benchmarks.transformers_side import WorkerFailed, transformers_side
from colloquy.cli.failure import EXPECTED
from colloquy.cli.profiles import find_profile
from colloquy.local.engine_command import model_of
from colloquy.profile import Profile, TaskName, VllmEngine
from colloquy.registry.store import CheckpointBroken, CheckpointMissing, Registry
from colloquy.servicekit.problems import ServiceError
from training.evaluate.direct import engine_client, served_name
from training.evaluate.provenance import provenance

MEASURES = ("throughput", "rerank", "embedding", "search", "overhead", "prefix", "footprint")
OWN = frozenset({"embedding", "search"})
"""Measured without a stack."""
RESULT = tables.RESULTS / "latest.json"
COMMAND = "make bench"


class CannotMeasure(Exception):
    """The profile does not hold what is compared; the message says what."""


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    # A polite kill ends the stack as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = asyncio.run(_measure(args))
    except KeyboardInterrupt:
        return 130
    except (
        *EXPECTED,
        ServiceError,
        CheckpointMissing,
        CheckpointBroken,
        CannotMeasure,
        Refused,
        WorkerFailed,
        OthersFailed,
        RetrieverFailed,
        TimeoutError,
    ) as failure:
        print(f"benchmarks: {failure}", file=sys.stderr)
        return 1
    if set(args.only) != set(MEASURES):
        result = beside(result, RESULT)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    if args.dry_run:
        print(text)
        return 0
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n", encoding="utf-8")
    tables.rewrite()
    plots.main()
    print(f"{RESULT}, {tables.PAGE} and its pictures are written")
    return 0


def beside(result: dict[str, Any], path: Path) -> dict[str, Any]:
    """What was measured by itself, put beside what an earlier run measured.

    Each measure keeps where it was made; without an earlier run the result is all there is.
    """
    if not path.is_file():
        return result
    earlier = json.loads(path.read_text(encoding="utf-8"))
    fresh = {
        name: result[name] | {"made_by": result["made_by"]} for name in MEASURES if name in result
    }
    return earlier | fresh


async def _measure(args: argparse.Namespace) -> dict[str, Any]:
    say = Console(stderr=True).print
    path = find_profile(args.profile)
    found: dict[str, Any] = {}
    if "embedding" in args.only:
        say("embedding, beside a bare loop and infinity_emb")
        found["embedding"] = await embedding.measure(args.repeats)
    if "search" in args.only:
        say("vector search by size, beside FAISS and the client's local mode")
        found["search"] = await vector_search.measure()
    profile = Profile.load(path).name
    if set(args.only) - OWN:
        say(f"starting a stack of its own on {path.name}")
        starts = args.repeats if "footprint" in args.only else 1
        with own_stack(path, starts=min(starts, 3)) as stack:
            say(f"ready after {stack.ready_s[-1]:.0f} s")
            # First, before anything has grown.
            if "footprint" in args.only:
                found["footprint"] = footprint.measure(stack)
            if "rerank" in args.only:
                say("rerank of 20, beside the upstream loop and batches of transformers")
                found["rerank"] = await _rerank(args, stack)
            if {"overhead", "prefix", "throughput"} & set(args.only):
                await _ask(args, stack, found, say)
    order = [name for name in MEASURES if name in found]
    return {
        "command": COMMAND,
        "made_by": provenance(),
        "profile": profile,
        **{name: found[name] for name in order},
    }


async def _ask(args: argparse.Namespace, stack: OwnStack, found: dict[str, Any], say: Any) -> None:
    task = stack.profile.tasks.get("fragment")
    if task is None:
        raise CannotMeasure(f"profile {stack.profile.name} has no task `fragment`")
    base, adapter, version = _weights(stack, "fragment")
    gateway = Gateway(stack.url)
    try:
        async with engine_client(stack.profile, task) as client:
            engine = Engine(client, task, await served_name(client, version))
            if "overhead" in args.only:
                say("what the gateway adds")
                found["overhead"] = await overhead.measure(gateway, engine, args.repeats)
            if "prefix" in args.only:
                say("what the prefix cache saves")
                found["prefix"] = await prefix_cache.measure(engine)
            if "throughput" in args.only:
                say("ten queries over one dialogue, beside transformers")
                limit = task.max_output_tokens
                merged = not args.unmerged
                with transformers_side(base, adapter, merged=merged, max_tokens=limit) as worker:
                    measured = await throughput.measure(gateway, engine, worker, args.repeats)
                found["throughput"] = measured | {"adapter": version, "merged": merged}
    finally:
        await gateway.close()


async def _rerank(args: argparse.Namespace, stack: OwnStack) -> dict[str, Any]:
    task = stack.profile.tasks.get("rank")
    if task is None or stack.profile.reranker is None:
        raise CannotMeasure(f"profile {stack.profile.name} runs no reranker")
    base, adapter, version = _weights(stack, "rank")
    merged = not args.unmerged
    async with (
        rerank.RerankGateway(stack.url) as gateway,
        engine_client(stack.profile, task) as client,
    ):
        engine = rerank.RerankEngine(client, task.family, await served_name(client, version))
        with transformers_side(base, adapter, merged=merged) as worker:
            sides = rerank.Sides(gateway, engine, worker, task.family)
            measured = await rerank.measure(sides, args.repeats)
    return measured | {"adapter": version, "merged": merged}


def _weights(stack: OwnStack, name: TaskName) -> tuple[Path, Path | None, str]:
    """Folders of the base and of a task's adapter, and the adapter's version."""
    profile = stack.profile
    task = profile.tasks[name]
    engine = profile.engines[task.engine]
    if not isinstance(engine, VllmEngine):
        raise CannotMeasure(f"engine {task.engine} is somebody else's: its weights are not here")
    base = model_of(profile, task.engine, engine)
    if not isinstance(base, Path):
        raise CannotMeasure(f"{base} is a hub model: transformers would load another copy of it")
    if task.checkpoint is None:
        return base, None, ""
    checkpoint = Registry(profile.registry_dirs).resolve(task.checkpoint)
    return base, checkpoint.folder, checkpoint.manifest.name


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--profile", help="a file, or the name of one in `profiles/`")
    parser.add_argument("--repeats", type=int, default=7, help="of everything that is compared")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument(
        "--unmerged", action="store_true", help="transformers keeps the adapter beside its weights"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the result, write nothing")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
