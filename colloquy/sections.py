"""The sections of a profile: engines, tasks, spaces, bounds of pictures, endpoints."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")]
# Names become file names of sockets and logs, and labels of metrics.
EngineName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
HostAndPort = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}$")]


class Capabilities(Section):
    """What an engine can do. A foreign server that cannot do something is used without it, openly,
    or refused at start."""

    grammar: Literal["ebnf", "none"] = Field(
        default="ebnf", description="Constrained generation: vLLM's `structured_outputs`."
    )
    logprobs: bool = True
    images: bool = True
    image_cache: bool = Field(default=True, description="vLLM's `uuid` beside a picture.")
    cache_salt: bool = Field(default=True, description="vLLM's prefix cache, kept per tenant.")
    tokenize: bool = Field(default=True, description="vLLM's `/tokenize`.")


class VllmEngine(Section):
    """A vLLM server: started by the supervisor, or somebody else's when `url` is given."""

    runtime: Literal["vllm"]
    model: str = Field(description="A folder, a checkpoint `base@2`, or a hub name.")
    revision: str | None = Field(default=None, description="Of a hub model; pin it.")
    url: Url | None = Field(default=None, description="Of an engine that is not ours to start.")
    runner: Literal["generate", "pooling"] = Field(
        default="generate", description="An engine writes or embeds; vLLM cannot do both."
    )
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["bfloat16", "float16", "float32", "auto"] | None = Field(
        default=None,
        description="null: bfloat16, and float32 on a CPU that has no instructions for bfloat16.",
    )
    max_model_len: int = Field(default=8_192, gt=0, description="Tokens of prompt and answer.")
    max_running: int = Field(default=16, gt=0, description="Requests in one batch.")
    max_waiting: int = Field(default=64, ge=0, description="Beyond it, 503 with Retry-After.")
    max_images: int = Field(default=64, ge=0, description="Pictures in one prompt.")
    kv_cache_gib: int = Field(default=1, gt=0, description="CPU only; whole GiB.")
    threads: int | None = Field(
        default=None, gt=0, description="CPU only; null binds one to every core but one."
    )
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 32
    max_adapters: int = Field(
        default=0,
        ge=0,
        description="Adapters that are ever loaded at once; the engine gets one slot more, since a "
        "full table answers base requests with an adapter.",
    )
    tensor_parallel: int = Field(default=1, gt=0)
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1)
    eager: bool = Field(default=True, description="No compilation: starts sooner, runs slower.")
    start_within_s: int = Field(default=600, gt=0)
    stuck_after_s: int = Field(
        default=60,
        gt=0,
        description="One that has answered its probe and then does not for so long is started "
        "again.",
    )
    capabilities: Capabilities = Capabilities()


class OpenAIEngine(Section):
    """Somebody else's OpenAI-compatible server."""

    runtime: Literal["openai"]
    url: Url = Field(description="Of the server; the paths under it begin with `/v1`.")
    model: str = Field(description="As the server names it.")
    api_key_secret: str | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )
    max_model_len: int = Field(default=8_192, gt=0)
    max_running: int = Field(default=8, gt=0)
    max_waiting: int = Field(default=64, ge=0)
    max_images: int = Field(default=16, ge=0)
    max_adapters: Literal[0] = 0
    runner: Literal["generate"] = "generate"
    capabilities: Capabilities = Capabilities(
        grammar="none", logprobs=False, image_cache=False, cache_salt=False, tokenize=False
    )


Engine = Annotated[VllmEngine | OpenAIEngine, Field(discriminator="runtime")]


class Task(Section):
    """A task binds an engine, an adapter or the bare base, and a protocol."""

    engine: str
    checkpoint: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_-]{0,31}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?$",
        description="An adapter `fragment@2`, or `fragment` for the promoted version; "
        "null asks the engine's own model, zero-shot or fine-tuned.",
    )
    protocol: Literal["f2rvlm", "lamra"]
    family: Literal["qwen2-vl", "qwen2.5-vl"] = Field(
        default="qwen2-vl", description="LamRA's wording, as the checkpoint was trained on it."
    )
    max_pixels: int = Field(default=602_112, gt=0, description="Pictures are shrunk to it.")
    max_output_tokens: int = Field(default=1_024, gt=0)
    tolerant: bool = Field(
        default=False, description="Accept answers that are not in the published form."
    )


_PROTOCOLS = {"fragment": "f2rvlm", "split": "f2rvlm", "embed": "lamra", "rank": "lamra"}
# Trained with plain positions on picture tokens, which no current server computes.
_UNFAITHFUL = re.compile(r"(^|/)LamRA-Ret(-Pretrained)?$")


def misfit(name: str, task: Task, engine: Engine) -> str | None:
    """Why `engine` cannot do the task `name`: the rest of a message that begins with its place."""
    where = f"engine `{task.engine}`"
    if not engine.capabilities.images:
        return f": {where} does not see pictures"
    if (engine.runner == "pooling") != (name == "embed"):
        return f": needs {'a pooling' if name == 'embed' else 'a writing'} engine, not {where}"
    if task.protocol != _PROTOCOLS[name]:
        return f"/protocol: is `{_PROTOCOLS[name]}`"
    if name == "rank" and not engine.capabilities.logprobs:
        return f": {where} gives no log-probabilities, and scores are made of them"
    if name == "embed" and _UNFAITHFUL.search(engine.model):
        return (
            f": {engine.model} was trained without M-RoPE on picture tokens, which every server "
            "applies, so its vectors of pictures would be others than its authors'; take "
            "code-kunkun/LamRA-Ret-Qwen2.5VL-7b"
        )
    if task.protocol == "f2rvlm" and engine.capabilities.grammar == "none" and not task.tolerant:
        return (
            f": {where} cannot hold a model to a grammar; set `tolerant: true` to accept answers "
            "that are parsed from free text"
        )
    return None


class ClipSpace(Section):
    """An embedding space of an open_clip model, computed by the retriever itself."""

    kind: Literal["open_clip"]
    model: str = Field(
        description="A checkpoint `clip@2`, a folder, or `ViT-L-14/openai` as open_clip names it."
    )
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: int | None = Field(default=None, gt=0, description="CPU only; null takes all cores.")


class TaskSpace(Section):
    """An embedding space of the task `embed`, computed by a pooling engine."""

    kind: Literal["task"]
    task: Literal["embed"] = "embed"


Space = Annotated[ClipSpace | TaskSpace, Field(discriminator="kind")]
SpaceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ServiceName = Literal["generator", "retriever", "reranker", "indexer"]
TaskName = Literal["fragment", "split", "embed", "rank"]


class Fetch(Section):
    """Fetching `https:` pictures for a caller; off unless hosts are named."""

    enabled: bool = False
    hosts: list[str] = Field(default_factory=list, description="Allowed; empty means any public.")
    timeout_ms: int = Field(default=5_000, gt=0)
    max_redirects: int = Field(default=3, ge=0)


class Media(Section):
    """Bounds of what comes in as a picture."""

    max_image_bytes: int = Field(default=10 * 2**20, gt=0)
    max_image_pixels: int = Field(default=40_000_000, gt=0, description="Read from the header.")
    max_images: int = Field(default=64, gt=0, description="In one request.")
    max_request_pixels: int = Field(default=200_000_000, gt=0)
    stored_pixels: int = Field(
        default=1_048_576, gt=0, description="Larger pictures are shrunk to it at intake."
    )
    workers: int = Field(default=2, gt=0, description="Processes that decode.")
    worker_memory_mib: int = Field(default=1_024, gt=0)
    decode_timeout_ms: int = Field(default=5_000, gt=0)
    unowned_ttl_s: int = Field(default=86_400, gt=0, description="An upload nobody refers to.")
    fetch: Fetch = Fetch()


class Endpoint(Section):
    """Where a service listens and how others reach it; by default a Unix socket."""

    listen: HostAndPort | None = Field(
        default=None, description="`host:port`; null is a Unix socket."
    )
    url: Url | None = Field(default=None, description="How callers reach it, `http://host:port`.")

    @model_validator(mode="after")
    def is_one_or_the_other(self) -> Self:
        if (self.listen is None) != (self.url is None):
            raise ValueError("give both `listen` and `url`, or neither for a Unix socket")
        return self
