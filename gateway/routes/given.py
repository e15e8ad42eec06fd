"""What a route is given: who calls, and what the lifespan opened."""

from typing import Annotated, cast

from fastapi import Depends, Request

from gateway.admission import Admission, Caller
from gateway.generator import Generator
from gateway.health import Health
from gateway.pictures import Pictures
from gateway.pipelines.fragments import Fragments
from gateway.problems import ScopeMissing
from gateway.settings import Settings

# Coroutines although they wait for nothing: others would each cost a trip to a thread.


async def _tenant(request: Request) -> str:
    caller: Caller = request.state.caller
    if caller.tenant is None:
        raise ScopeMissing("an operator's key has no dialogues and pictures; use a tenant's")
    return caller.tenant


async def _settings(request: Request) -> Settings:
    return cast(Settings, request.state.settings)


async def _admission(request: Request) -> Admission:
    return cast(Admission, request.state.admission)


async def _fragments(request: Request) -> Fragments:
    return cast(Fragments, request.state.fragments)


async def _pictures(request: Request) -> Pictures:
    return cast(Pictures, request.state.pictures)


async def _generator(request: Request) -> Generator:
    return cast(Generator, request.state.generator)


async def _health(request: Request) -> Health:
    return cast(Health, request.state.health)


GivenTenant = Annotated[str, Depends(_tenant)]
GivenSettings = Annotated[Settings, Depends(_settings)]
GivenAdmission = Annotated[Admission, Depends(_admission)]
GivenFragments = Annotated[Fragments, Depends(_fragments)]
GivenPictures = Annotated[Pictures, Depends(_pictures)]
GivenGenerator = Annotated[Generator, Depends(_generator)]
GivenHealth = Annotated[Health, Depends(_health)]
