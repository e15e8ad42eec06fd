"""Readiness and metrics: states for everybody, process detail for operators."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.datastructures import Headers

from colloquy.contracts.operation import Readiness
from colloquy.servicekit.problems import Forbidden, Unauthenticated
from gateway.access import NEEDS
from gateway.admission import Admission
from gateway.describe import problems
from gateway.problems import ScopeMissing
from gateway.routes.given import GivenAdmission, GivenHealth


def router_over(registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["Operation"])

    @router.get(
        "/readyz",
        summary="Whether the stack answers now",
        responses={503: {"model": Readiness, "description": "Not ready; `checks` say why."}},
    )
    async def ready(
        request: Request, response: Response, health: GivenHealth, admission: GivenAdmission
    ) -> Readiness:
        """Each dependency by name. Once there are keys, only an operator's key sees the list."""
        readiness = await health.readiness()
        if not readiness.ready:
            response.status_code = 503
            response.headers["retry-after"] = "2"
        if not _sees_detail(admission, request.headers):
            return Readiness(ready=readiness.ready, checks=[])
        return readiness

    @router.get(
        "/metrics",
        summary="Metrics in Prometheus' form",
        response_class=Response,
        responses=problems(Unauthenticated, ScopeMissing)
        | {200: {"description": "Metrics.", "content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Needs an operator's key once there are keys."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _sees_detail(admission: Admission, headers: Headers) -> bool:
    try:
        return admission.admit(headers, NEEDS["GET /metrics"]).is_operator
    except (Unauthenticated, Forbidden):
        return False
