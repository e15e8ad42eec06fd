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
from typing import Any, Self

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator

from colloquy.sections import (
    Capabilities,
    ClipSpace,
    Endpoint,
    Engine,
    EngineName,
    Fetch,
    HostAndPort,
    Media,
    OpenAIEngine,
    Section,
    ServiceName,
    Space,
    SpaceName,
    Task,
    TaskName,
    TaskSpace,
    Url,
    VllmEngine,
    misfit,
)

__all__ = [
    "BLOB_KEY_VARIABLE",
    "HOP_SECRET_VARIABLE",
    "PAGE_TOKEN_VARIABLE",
    "PROFILE_VARIABLE",
    "Capabilities",
    "ClipSpace",
    "Endpoint",
    "Engine",
    "EngineName",
    "Fetch",
    "HostAndPort",
    "Media",
    "OpenAIEngine",
    "Profile",
    "ProfileError",
    "Secrets",
    "Section",
    "ServiceName",
    "Space",
    "SpaceName",
    "Task",
    "TaskName",
    "TaskSpace",
    "Url",
    "VllmEngine",
    "is_loopback",
    "load_from_environment",
    "new_secret",
    "profile_from_environment",
]

PROFILE_VARIABLE = "COLLOQUY_PROFILE"
HOP_SECRET_VARIABLE = "COLLOQUY_HOP_SECRET"  # noqa: S105
BLOB_KEY_VARIABLE = "COLLOQUY_BLOB_KEY"
PAGE_TOKEN_VARIABLE = "COLLOQUY_PAGE_TOKEN"  # noqa: S105
# A Unix socket's path may have 107 bytes; engines and services add up to 47.
_MAX_RUN_PATH = 60
_MIN_SECRET = 16


class ProfileError(Exception):
    """A profile that cannot be used; the message names the file, the field and the reason."""


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
        for name, task in self.tasks.items():
            engine = self.engines.get(task.engine)
            if engine is None:
                raise ValueError(f"tasks/{name}/engine: there is no engine `{task.engine}`")
            if why := misfit(name, task, engine):
                raise ValueError(f"tasks/{name}{why}")
            if task.checkpoint is not None:
                needed.setdefault(task.engine, set()).add(task.checkpoint)
        for engine_name, checkpoints in needed.items():
            room = self.engines[engine_name].max_adapters
            if room < len(checkpoints):
                raise ValueError(
                    f"engines/{engine_name}/max_adapters is {room}, but tasks bind "
                    f"{len(checkpoints)} adapters to it"
                )
        return self

    @model_validator(mode="after")
    def collections_have_what_they_need(self) -> Self:
        for name, space in self.spaces.items():
            if isinstance(space, TaskSpace) and space.task not in self.tasks:
                raise ValueError(f"spaces/{name}: there is no task `{space.task}`")
        if (self.retriever is None) != (self.indexer is None):
            raise ValueError("`retriever` and `indexer` make collections together: give both")
        if self.retriever is not None and not self.spaces:
            raise ValueError("spaces: a retriever needs at least one")
        if self.reranker is not None and "rank" not in self.tasks:
            raise ValueError("tasks: a reranker needs `rank`")
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
    ledger_password: SecretStr | None = Field(default=None, description="Of a PostgreSQL ledger.")
    vector_store_key: SecretStr | None = Field(default=None, description="Of a Qdrant server.")

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

        def want(variable: object) -> SecretStr | None:
            return SecretStr(environment[str(variable)]) if str(variable) in environment else None

        keys = {
            name: need(engine.api_key_secret)
            for name, engine in profile.engines.items()
            if isinstance(engine, OpenAIEngine) and engine.api_key_secret
        }
        for variable in (HOP_SECRET_VARIABLE, BLOB_KEY_VARIABLE):
            if len(need(variable)) < _MIN_SECRET:
                raise ProfileError(f"{variable} is shorter than {_MIN_SECRET} characters")
        token = environment.get(PAGE_TOKEN_VARIABLE)
        ledger_secret = (profile.indexer or {}).get("ledger_password_secret")
        store = (profile.retriever or {}).get("store")
        store_secret = store.get("api_key_secret") if isinstance(store, dict) else None
        return cls(
            hop=need(HOP_SECRET_VARIABLE),
            blob_key=need(BLOB_KEY_VARIABLE),
            page_token=SecretStr(token) if token else None,
            engine_keys=keys,
            # Only who uses one of these has it, and says when it is missing.
            ledger_password=want(ledger_secret),
            vector_store_key=want(store_secret),
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
