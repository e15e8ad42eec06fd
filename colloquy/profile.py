"""The profile: one YAML that says which engines, checkpoints, limits, stores and ports a stack has.

It is the one source of configuration. Only this module reads the environment, and only for
`COLLOQUY_PROFILE` and secrets.
"""

import hashlib
import ipaddress
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

PROFILE_VARIABLE = "COLLOQUY_PROFILE"
HOP_SECRET_VARIABLE = "COLLOQUY_HOP_SECRET"  # noqa: S105
BLOB_KEY_VARIABLE = "COLLOQUY_BLOB_KEY"
PAGE_TOKEN_VARIABLE = "COLLOQUY_PAGE_TOKEN"  # noqa: S105
# A Unix socket's path may have 107 bytes; engines and services add up to 47.
_MAX_RUN_PATH = 60
_MIN_SECRET = 16


class ProfileError(Exception):
    """A profile that cannot be used; the message names the file, the field and the reason."""


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
    model: str = Field(description="A folder, a checkpoint `base@1`, or a hub name.")
    revision: str | None = Field(default=None, description="Of a hub model; pin it.")
    url: Url | None = Field(default=None, description="Of an engine that is not ours to start.")
    runner: Literal["generate", "pooling"] = Field(
        default="generate", description="An engine writes or embeds; vLLM cannot do both."
    )
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["bfloat16", "float16", "float32", "auto"] = "bfloat16"
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
        description="An adapter `fragment@1`, or `fragment` for the promoted version; "
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


class ClipSpace(Section):
    """An embedding space of an open_clip model, computed by the retriever itself."""

    kind: Literal["open_clip"]
    model: str = Field(
        description="A checkpoint `clip@1`, a folder, or `ViT-L-14/openai` as open_clip names it."
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


class Profile(Section):
    """A stack. Folders are relative to the checkout that holds `profiles/`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    about: str = Field(description="What it is for, and on which weights it has been run.")
    root: Path = Field(default=Path("."), description="Set by the loader.")
    state: Path = Field(default=Path("var"), description="Everything the stack writes.")
    registry: list[Path] = Field(default_factory=lambda: [Path("var/registry"), Path("starter")])
    media: Media = Media()
    engines: dict[EngineName, Engine] = Field(min_length=1)
    tasks: dict[TaskName, Task] = Field(min_length=1)
    spaces: dict[SpaceName, Space] = Field(
        default_factory=dict,
        description="Embedding spaces of collections; BM25 is always there beside them.",
    )
    endpoints: dict[ServiceName, Endpoint] = Field(default_factory=dict)
    gateway: dict[str, Any] = Field(default_factory=dict, description="The gateway's settings.")
    generator: dict[str, Any] = Field(default_factory=dict, description="The generator's.")
    retriever: dict[str, Any] | None = Field(
        default=None, description="The retriever's; null runs none, nor collections."
    )
    reranker: dict[str, Any] | None = Field(
        default=None, description="The reranker's; null runs none."
    )
    indexer: dict[str, Any] | None = Field(
        default=None, description="The indexer's; null runs none, nor collections."
    )

    @model_validator(mode="after")
    def tasks_fit_their_engines(self) -> Self:
        needed: dict[str, set[str]] = {}
        for task_name, task in self.tasks.items():
            engine = self.engines.get(task.engine)
            if engine is None:
                raise ValueError(f"tasks/{task_name}/engine: there is no engine `{task.engine}`")
            if not engine.capabilities.images:
                raise ValueError(f"tasks/{task_name}: engine `{task.engine}` does not see pictures")
            if (engine.runner == "pooling") != (task_name == "embed"):
                needs = "a pooling" if task_name == "embed" else "a writing"
                raise ValueError(f"tasks/{task_name}: needs {needs} engine, not `{task.engine}`")
            if task_name in ("embed", "rank") and task.protocol != "lamra":
                raise ValueError(f"tasks/{task_name}/protocol: is `lamra`")
            if task_name in ("fragment", "split") and task.protocol != "f2rvlm":
                raise ValueError(f"tasks/{task_name}/protocol: is `f2rvlm`")
            if task_name == "rank" and not engine.capabilities.logprobs:
                raise ValueError(
                    f"tasks/rank: engine `{task.engine}` gives no log-probabilities, and scores "
                    "are made of them"
                )
            writes_form = task_name in ("fragment", "split")
            if writes_form and engine.capabilities.grammar == "none" and not task.tolerant:
                raise ValueError(
                    f"tasks/{task_name}: engine `{task.engine}` cannot hold a model to a grammar; "
                    "set `tolerant: true` to accept answers that are parsed from free text"
                )
            if task.checkpoint is not None:
                needed.setdefault(task.engine, set()).add(task.checkpoint)
        for name, space in self.spaces.items():
            if isinstance(space, TaskSpace) and space.task not in self.tasks:
                raise ValueError(f"spaces/{name}: there is no task `{space.task}`")
        if (self.retriever is None) != (self.indexer is None):
            raise ValueError("`retriever` and `indexer` make collections together: give both")
        if self.retriever is not None and not self.spaces:
            raise ValueError("spaces: a retriever needs at least one")
        for name, checkpoints in needed.items():
            room = self.engines[name].max_adapters
            if room < len(checkpoints):
                raise ValueError(
                    f"engines/{name}/max_adapters is {room}, but tasks bind {len(checkpoints)} "
                    "adapters to it"
                )
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads and checks a profile.

        Raises:
            ProfileError: it cannot be read, is not YAML, or a field is wrong.
        """
        data = _read_yaml(path)
        try:
            return cls.model_validate({"root": _root_of(path)} | data)
        except ValidationError as error:
            faults = "\n".join(
                f"  {_place(e['loc'])}: {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
            )
            raise ProfileError(f"{path}: the profile does not hold:\n{faults}") from error

    @property
    def state_dir(self) -> Path:
        return self.root / self.state

    @property
    def registry_dirs(self) -> list[Path]:
        return [self.root / folder for folder in self.registry]

    @property
    def blobs_dir(self) -> Path:
        """Pictures that came in: the gateway writes it, the generator reads it."""
        return self.state_dir / "blobs"

    @property
    def keys_file(self) -> Path:
        return self.state_dir / "keys.db"

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files: short, private, the same for every process of the stack."""
        folder = self.state_dir.resolve() / "run"
        if len(os.fsencode(folder)) <= _MAX_RUN_PATH:
            return folder
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"colloquy-{os.getuid()}-{digest}"

    def address_of(self, service: ServiceName) -> str:
        """`unix:/path/to.sock` or `http://host:port`."""
        endpoint = self.endpoints.get(service)
        if endpoint is not None and endpoint.url is not None:
            return endpoint.url.rstrip("/")
        return f"unix:{self.run_dir / (service + '.sock')}"

    def address_of_engine(self, name: str) -> str:
        engine = self.engines[name]
        if engine.url is not None:
            return engine.url.rstrip("/")
        return f"unix:{self.run_dir / ('engine-' + name + '.sock')}"


class Secrets(Section):
    """What must not stand in a profile."""

    hop: SecretStr = Field(description="Shared by the services of one start.")
    blob_key: SecretStr = Field(description="Keys blob references; as old as the blobs.")
    page_token: SecretStr | None = Field(default=None, description="Lets the local page write.")
    engine_keys: dict[str, SecretStr] = Field(default_factory=dict)

    @classmethod
    def from_environment(cls, profile: Profile, environment: Mapping[str, str]) -> Self:
        """Collects the secrets `profile` needs.

        Raises:
            ProfileError: one is missing or too short; the message names the variable.
        """

        def need(variable: str) -> SecretStr:
            value = environment.get(variable)
            if not value:
                raise ProfileError(f"the environment has no {variable}")
            return SecretStr(value)

        keys = {
            name: need(engine.api_key_secret)
            for name, engine in profile.engines.items()
            if isinstance(engine, OpenAIEngine) and engine.api_key_secret
        }
        for variable in (HOP_SECRET_VARIABLE, BLOB_KEY_VARIABLE):
            if len(need(variable)) < _MIN_SECRET:
                raise ProfileError(f"{variable} is shorter than {_MIN_SECRET} characters")
        token = environment.get(PAGE_TOKEN_VARIABLE)
        return cls(
            hop=need(HOP_SECRET_VARIABLE),
            blob_key=need(BLOB_KEY_VARIABLE),
            page_token=SecretStr(token) if token else None,
            engine_keys=keys,
        )


def profile_from_environment() -> Profile:
    """The profile that `COLLOQUY_PROFILE` names, alone: enough to check a section of it."""
    path = os.environ.get(PROFILE_VARIABLE)
    if not path:
        raise ProfileError(f"the environment has no {PROFILE_VARIABLE}")
    return Profile.load(Path(path))


def load_from_environment() -> tuple[Profile, Secrets]:
    """The profile that `COLLOQUY_PROFILE` names, and its secrets: how every service starts."""
    profile = profile_from_environment()
    return profile, Secrets.from_environment(profile, os.environ)


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`: an address, bracketed or not, or `localhost`."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _root_of(path: Path) -> Path:
    """The checkout that holds `profiles/`; for a profile that lies elsewhere, its own folder."""
    folder = path.resolve().parent
    return folder.parent if folder.name == "profiles" else folder


def _place(location: tuple[int | str, ...]) -> str:
    """The path of a field as one writes it in the YAML, without the engine kind's own name."""
    names = [str(part) for part in location]
    if len(names) > 2 and names[0] == "engines" and names[2] in {"vllm", "openai"}:
        del names[2]
    return "/".join(names) or "(profile)"


class _OneMeaning(yaml.SafeLoader):
    """YAML in which a name that stands twice is an error; the default keeps the last, silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key.value}` stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_OneMeaning)  # noqa: S506
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ProfileError(f"{path}: is not YAML: {line}{error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ProfileError(f"{path}: is not YAML") from error
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise ProfileError(f"{path}: is not a mapping of named fields")
    return data
