"""How the gateway reaches a service behind it."""

from colloquy.servicekit.calls import ServiceClient
from gateway.metrics import Metrics
from gateway.settings import Settings

_FOR_OPERATION = 16


def client_of(name: str, address: str, settings: Settings, metrics: Metrics) -> ServiceClient:
    """A client of the service `name` at `address`, as `ServiceClient` takes it."""
    return ServiceClient(
        address,
        hop_secret=settings.hop_secret,
        service_name=name,
        metrics=metrics.calls,
        # A request that is admitted never waits for a connection; a search refines several
        # candidates at once.
        max_connections=settings.max_running * settings.refine_at_once + _FOR_OPERATION,
    )
