"""Bad input to a real gateway: refused in its own words, and the next request is served at once."""

from collections.abc import Iterator

import pytest

from tests.doubles.gateway import PAGE_TOKEN, RunningGateway, running_gateway
from tests.doubles.hostile import Hostile, cases, check_refusal, check_served_at_once

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    # A fast machine sends all of it within a tenant's quota of a few seconds.
    quota = {"requests_per_s": 100_000, "burst": 100_000}
    with running_gateway(tmp_path_factory.mktemp("gateway"), tenant=quota) as gateway:
        yield gateway


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_bad_input_gets_its_own_problem(gateway: RunningGateway, case: Hostile) -> None:
    headers = {name: text.format(token=PAGE_TOKEN) for name, text in case.headers.items()}

    reply = gateway.http.post(case.path, content=case.body(), headers=headers)

    check_refusal(reply, case)
    check_served_at_once(gateway.http, within_s=5.0)
