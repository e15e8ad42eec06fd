import json

import pytest

from colloquy.contracts.problem import Fault, Problem
from colloquy.servicekit.problems import (
    PROBLEM_BASE,
    Overloaded,
    ServiceError,
    Unauthenticated,
    as_service_error,
    error_types,
    problem_response,
)


def answered(error: ServiceError) -> tuple[Problem, dict[str, str]]:
    response = problem_response({"path": "/v1/x"}, error)
    return Problem.model_validate(json.loads(response.body)), dict(response.headers)


@pytest.mark.parametrize("kind", error_types().values(), ids=lambda kind: kind.__name__)
def test_every_expected_failure_is_a_whole_problem(kind: type[ServiceError]) -> None:
    problem, headers = answered(kind("why"))

    assert headers["content-type"] == "application/problem+json"
    assert problem.type == PROBLEM_BASE + kind.slug
    assert problem.status == kind.status
    assert problem.title
    assert 400 <= kind.status < 600


def test_no_two_failures_share_a_slug() -> None:
    def walk(kind: type[ServiceError]) -> list[type[ServiceError]]:
        return [kind, *(deeper for child in kind.__subclasses__() for deeper in walk(child))]

    own = [kind.slug for kind in walk(ServiceError) if "slug" in vars(kind)]

    assert len(own) == len(set(own))


def test_a_busy_service_says_when_to_come_back() -> None:
    _, headers = answered(Overloaded(retry_after_s=7))

    assert headers["retry-after"] == "7"


def test_a_missing_key_names_the_scheme() -> None:
    _, headers = answered(Unauthenticated())

    assert headers["www-authenticate"] == "Bearer"


def test_facts_never_replace_the_standards_members() -> None:
    problem, _ = answered(Overloaded("why", type="x", status=200, waiting=3))

    assert (problem.status, problem.type) == (503, PROBLEM_BASE + "overloaded")


def test_faults_are_at_most_twenty() -> None:
    problem, _ = answered(Overloaded(faults=[Fault(at=str(i), why="w") for i in range(99)]))

    assert problem.faults is not None
    assert len(problem.faults) == 20


def test_an_unexpected_error_tells_nothing() -> None:
    error = as_service_error(RuntimeError("/etc/secret at 0x7f001122"))

    assert (error.status, error.detail) == (500, "")


def test_a_kind_within_a_type_does_not_stand_for_it() -> None:
    class Special(Overloaded):
        """Has the slug of its parent."""

    assert error_types()["overloaded"] is Overloaded
