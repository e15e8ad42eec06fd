"""The command line of a vLLM server, from an engine of the profile."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

from colloquy.local import processor
from colloquy.profile import Profile, VllmEngine
from colloquy.registry.store import CheckpointBroken, CheckpointMissing, Registry


class CannotStart(Exception):
    """A child cannot even be tried; the message is one line that names the place."""


def engine_command(profile: Profile, name: str, engine: VllmEngine, socket: Path) -> list[str]:
    """Raises CannotStart: vLLM is not installed, there is no such model, or it is not whole."""
    if find_spec("vllm") is None:
        raise CannotStart(
            f"engines/{name}: vLLM is not installed; `make setup` installs the CPU build, "
            "`pip install -e '.[serve,engine-gpu]'` the CUDA build"
        )
    model = model_of(profile, name, engine)
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--uds", str(socket), "--model", str(model), "--served-model-name", engine.model),
        *("--dtype", dtype_of(engine), "--seed", "0"),
        *("--max-model-len", str(engine.max_model_len), "--max-num-seqs", str(engine.max_running)),
        *("--limit-mm-per-prompt", json.dumps({"image": engine.max_images, "video": 0})),
        *("--tensor-parallel-size", str(engine.tensor_parallel)),
        # Pictures come as bytes; a server that fetches URLs is a hole.
        *("--allowed-media-domains", "none.invalid"),
        *("--enable-prompt-tokens-details", "--disable-uvicorn-access-log"),
        *("--disable-fastapi-docs", "--uvicorn-log-level", "warning"),
    ]
    if engine.revision is not None and not isinstance(model, Path):
        command += ["--revision", engine.revision, "--tokenizer-revision", engine.revision]
    if engine.runner == "pooling":
        command += ["--runner", "pooling"]
    else:
        # What a model's own folder says of sampling would change answers unasked.
        command += ["--generation-config", "vllm", "--logprobs-mode", "processed_logprobs"]
    if engine.eager:
        command.append("--enforce-eager")
    if engine.device == "cuda":
        command += ["--gpu-memory-utilization", str(engine.gpu_memory_share)]
    if engine.max_adapters:
        # One slot more than adapters: a full table answers base requests with an adapter.
        slots = str(engine.max_adapters + 1)
        command += ["--enable-lora", "--max-loras", slots, "--max-cpu-loras", slots]
        command += ["--max-lora-rank", str(engine.max_lora_rank)]
    return command


def dtype_of(engine: VllmEngine) -> str:
    """What an engine computes in.

    A processor without bfloat16 would emulate it and answer in two to three times the time.
    """
    if engine.dtype is not None:
        return engine.dtype
    emulated = engine.device == "cpu" and not processor.has_bfloat16()
    return "float32" if emulated else "bfloat16"


def engine_environment(profile: Profile, engine: VllmEngine) -> dict[str, str]:
    """Beside the supervisor's own: where its sockets lie, no telemetry, the CPU's share."""
    environment = {
        "VLLM_RPC_BASE_PATH": str(profile.run_dir),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if engine.max_adapters:
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    if _is_here(profile, engine):
        environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if engine.device == "cpu":
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(engine.kv_cache_gib)
        if engine.threads is not None:
            # Bound threads of two engines, or of an engine and anything else, would share a core
            # while others are idle; unbound ones go where there is room. They sleep soon, too.
            environment |= {
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "OMP_NUM_THREADS": str(engine.threads),
                "KMP_BLOCKTIME": "5",
                "KMP_TPAUSE": "0",
            }
    return environment


def model_of(profile: Profile, name: str, engine: VllmEngine) -> Path | str:
    """The folder of a checkpoint or a model, or a hub name as it is.

    A name with `@` is a checkpoint. One with a slash is a folder if there is one, else a hub name.
    """
    wanted = engine.model
    if folder := _plain_folder(profile, engine):
        return folder
    if "/" in wanted:
        if wanted.startswith(("/", "./", "../", "~")) or wanted.count("/") != 1:
            raise CannotStart(f"engines/{name}/model: `{wanted}` is not a folder with a model")
        return wanted
    registry = Registry(profile.registry_dirs)
    try:
        checkpoint = registry.resolve(wanted)
        # An engine believes what it loads, and nothing it answers shows a changed weight.
        registry.verify(checkpoint)
        return checkpoint.folder
    except (CheckpointMissing, CheckpointBroken) as error:
        where = ", ".join(str(place.absolute()) for place in profile.registry_dirs)
        raise CannotStart(f"engines/{name}/model: {error} (looked in {where})") from error


def _plain_folder(profile: Profile, engine: VllmEngine) -> Path | None:
    folder = profile.root / Path(engine.model).expanduser()
    is_model = "@" not in engine.model and (folder / "config.json").is_file()
    return folder if is_model else None


def _is_here(profile: Profile, engine: VllmEngine) -> bool:
    """Whether the model lies on this machine, so that the engine need not ask a hub."""
    return "/" not in engine.model or _plain_folder(profile, engine) is not None
