"""What a service is told about the engines that it asks."""

from collections.abc import Mapping

from pydantic import Field, SecretStr

from colloquy.profile import Engine, Profile, Secrets, Section, Task


class EngineTuning(Section):
    """Knobs that every service with engines has in its section of the profile."""

    fit_workers: int = Field(default=1, gt=0, description="Processes that shrink pictures.")
    probe_every_s: float = Field(default=1.0, gt=0, description="How often an engine is probed.")
    probe_timeout_s: float = Field(default=2.5, gt=0, description="A slower probe has failed.")
    stuck_after_s: float = Field(
        default=45.0, gt=0, description="A silent engine is given up, and who waits sent away."
    )
    foreign_probe_every_s: float = Field(
        default=15.0, gt=0, description="Of somebody else's server, which may charge for it."
    )
    usual_start_s: int = Field(
        default=60, gt=0, description="How long an engine takes to come back; for Retry-After."
    )


class EngineBinding(Section):
    """An engine of the profile, and how it is reached."""

    engine: Engine
    address: str
    api_key: SecretStr | None = None


def bindings(
    profile: Profile, secrets: Secrets, tasks: Mapping[str, Task]
) -> dict[str, EngineBinding]:
    """The engines that `tasks` are bound to."""
    used = {task.engine for task in tasks.values()}
    return {
        name: EngineBinding(
            engine=engine,
            address=profile.address_of_engine(name),
            api_key=secrets.engine_keys.get(name),
        )
        for name, engine in profile.engines.items()
        if name in used
    }
