"""Which processes a profile needs, and how each is started and asked whether it lives."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import colloquy
from colloquy.local.engine_command import engine_command, engine_environment
from colloquy.profile import (
    BLOB_KEY_VARIABLE,
    HOP_SECRET_VARIABLE,
    PAGE_TOKEN_VARIABLE,
    PROFILE_VARIABLE,
    Profile,
    ServiceName,
    VllmEngine,
)

GATEWAY_PORT = 8420
# In every child's environment, so that what a killed supervisor left is told from anything else.
STACK_VARIABLE = "COLLOQUY_STACK"
# Processes that vLLM gives this title compute; the server without one of them is a shell.
VLLM_TITLE = "VLLM::"


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One child.

    Args:
        address: `unix:/path` or `http://host:port` where `health` is asked.
        vital: descendants whose title begins so must live as long as the child.
        start_within_s: then a start counts as failed.
        stuck_after_s: an engine that has answered its probe and then does not for so long is
            started again.
        tries: starts that may fail before the first good one; then the stack gives up.
        stop_within_s: from asking it to end to making it.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    address: str
    health: str
    kind: Literal["engine", "service"] = "service"
    vital: str | None = None
    start_within_s: float = 60.0
    stuck_after_s: float = 60.0
    tries: int = 3
    stop_within_s: float = 12.0
    port: tuple[str, int] | None = None
    working_dir: Path = Path(colloquy.__file__).parent.parent

    @property
    def socket(self) -> Path | None:
        path = self.address.removeprefix("unix:")
        return Path(path) if path != self.address else None


@dataclass(frozen=True, slots=True)
class Handed:
    """The secrets that children get through their environment."""

    hop: str
    blob_key: str
    page_token: str


def plan(profile: Profile, profile_path: Path, handed: Handed) -> list[ChildPlan]:
    """Every child of the stack: those that take longest to start come first.

    Raises:
        CannotStart: an engine's program or model is not there.
    """
    shared = {
        key: value
        for key, value in os.environ.items()
        if key not in {HOP_SECRET_VARIABLE, BLOB_KEY_VARIABLE, PAGE_TOKEN_VARIABLE}
    }
    shared |= {STACK_VARIABLE: str(profile.run_dir), "PYTHONUNBUFFERED": "1"}
    service = shared | {
        PROFILE_VARIABLE: str(profile_path),
        HOP_SECRET_VARIABLE: handed.hop,
        BLOB_KEY_VARIABLE: handed.blob_key,
    }
    children = [
        _engine(profile, name, engine, shared)
        for name, engine in profile.engines.items()
        if isinstance(engine, VllmEngine) and engine.url is None
    ]
    children += [
        ChildPlan(
            name=name,
            command=[sys.executable, "-m", f"services.{name}"],
            environment=service,
            address=profile.address_of(name),
            health="/healthz",
        )
        for name in services_of(profile)
    ]
    host, port = gateway_address(profile)
    children.append(
        ChildPlan(
            name="gateway",
            command=[sys.executable, "-m", "gateway"],
            environment=service | {PAGE_TOKEN_VARIABLE: handed.page_token},
            address=gateway_url(profile),
            health="/healthz",
            port=(host, port),
        )
    )
    return children


def gateway_address(profile: Profile) -> tuple[str, int]:
    return (
        str(profile.gateway.get("host", "127.0.0.1")),
        int(profile.gateway.get("port", GATEWAY_PORT)),
    )


def gateway_url(profile: Profile) -> str:
    """How this machine reaches the gateway, whatever it listens on."""
    host, port = gateway_address(profile)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def services_of(profile: Profile) -> list[ServiceName]:
    """The services that are ours to start: wanted, and not somebody else's by a URL."""
    wanted: list[tuple[ServiceName, object]] = [
        ("generator", profile.generator),
        ("retriever", profile.retriever),
        ("reranker", profile.reranker),
        ("indexer", profile.indexer),
    ]
    return [
        name
        for name, section in wanted
        if section is not None
        and (name not in profile.endpoints or profile.endpoints[name].url is None)
    ]


def _engine(profile: Profile, name: str, engine: VllmEngine, shared: dict[str, str]) -> ChildPlan:
    address = profile.address_of_engine(name)
    socket = Path(address.removeprefix("unix:"))
    return ChildPlan(
        name=f"engine-{name}",
        command=engine_command(profile, name, engine, socket),
        environment=shared | engine_environment(profile, engine),
        address=address,
        health="/health",
        kind="engine",
        vital=VLLM_TITLE,
        start_within_s=engine.start_within_s,
        stuck_after_s=engine.stuck_after_s,
        tries=2,
        stop_within_s=8.0,
    )
