"""Quotas and callers, without a server."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from colloquy.servicekit.keys import SCOPES, KeyStore
from colloquy.servicekit.problems import Overloaded, TooManyRequests, Unauthenticated
from gateway.admission import Admission, Caller, Need, TokenBucket
from gateway.browsers import check_browser
from gateway.problems import HostRefused, OriginRefused
from tests.doubles.gateway import settings_in

WORK = Need(scope="search", counted=True)
READ = Need()
STREAM = Need(scope="index", counted=True, streamed=True)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    with closing(KeyStore(tmp_path / "keys.db")) as store:
        yield store


def admission(keys: KeyStore, clock: Clock | None = None, **knobs: object) -> Admission:
    return Admission(keys, settings_in(Path("nowhere"), **knobs), clock or Clock())


def caller(tenant: str) -> Caller:
    return Caller(tenant, SCOPES)


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(per_s=2.0, size=3, now_s=0.0)

    assert [bucket.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(0.5) == 0.0
    assert bucket.take(0.5) == 0.5


def test_a_bucket_never_holds_more_than_its_size() -> None:
    bucket = TokenBucket(per_s=100.0, size=1, now_s=0.0)

    assert [bucket.take(1_000.0) for _ in range(2)] == [0.0, 0.01]


def test_a_place_comes_free_whatever_ends_the_request(keys: KeyStore) -> None:
    door = admission(keys, tenant={"max_running": 1})

    with pytest.raises(ZeroDivisionError), door.room(caller("a"), WORK):
        raise ZeroDivisionError

    with door.room(caller("a"), WORK):
        assert door.running == 1
    assert door.running == 0


def test_the_bound_of_all_tenants_is_overload_not_a_quota(keys: KeyStore) -> None:
    door = admission(keys, max_running=2, tenant={"max_running": 2})

    with ExitStack() as stack:
        stack.enter_context(door.room(caller("a"), WORK))
        stack.enter_context(door.room(caller("b"), WORK))
        with pytest.raises(Overloaded), door.room(caller("b"), WORK):
            pass
        with pytest.raises(Overloaded), door.room(caller("c"), WORK):
            pass


def test_a_request_that_finds_no_room_costs_no_token(keys: KeyStore) -> None:
    door = admission(keys, tenant={"max_running": 1, "burst": 2, "requests_per_s": 0.001})

    with door.room(caller("a"), WORK):
        for _ in range(5):
            with pytest.raises(TooManyRequests), door.room(caller("a"), WORK):
                pass
    with door.room(caller("a"), WORK):
        pass


def test_what_only_reads_is_not_counted(keys: KeyStore) -> None:
    door = admission(keys, tenant={"max_running": 1, "burst": 1, "requests_per_s": 0.001})

    with door.room(caller("a"), WORK), door.room(caller("a"), READ), door.room(caller("a"), READ):
        assert door.running == 1


def test_who_follows_jobs_can_search_and_who_searches_can_follow_jobs(keys: KeyStore) -> None:
    door = admission(keys, max_running=1, tenant={"max_running": 1, "max_streams": 2})

    with door.room(caller("a"), STREAM), door.room(caller("a"), STREAM):
        with door.room(caller("a"), WORK):
            assert door.running == 1
        with (
            pytest.raises(TooManyRequests, match="at most 2 streams of events"),
            door.room(caller("a"), STREAM),
        ):
            pass
        with door.room(caller("b"), STREAM):
            pass


def test_the_streams_of_all_tenants_have_a_bound_too(keys: KeyStore) -> None:
    door = admission(keys, max_streams=1)

    with (
        door.room(caller("a"), STREAM),
        pytest.raises(Overloaded, match="streams of events"),
        door.room(caller("b"), STREAM),
    ):
        pass


def test_retry_after_is_when_there_is_a_token(keys: KeyStore) -> None:
    clock = Clock()
    door = admission(keys, clock, tenant={"burst": 1, "requests_per_s": 0.1})
    with door.room(caller("a"), WORK):
        pass

    with pytest.raises(TooManyRequests) as refused, door.room(caller("a"), WORK):
        pass

    assert refused.value.retry_after_s == 10
    clock.now_s = 10.0
    with door.room(caller("a"), WORK):
        pass


@pytest.mark.parametrize(
    "authorization",
    ["", "bearer", "Bearer ", "Token {key}", "Bearer {key}x", "Bearer x{key}", "{key}"],
)
def test_only_a_whole_key_sent_as_bearer_is_one(keys: KeyStore, authorization: str) -> None:
    key = keys.create("acme", ["search"])
    headers = Headers({"authorization": authorization.format(key=key)})

    with pytest.raises(Unauthenticated):
        admission(keys).admit(headers, READ)


def test_two_keys_are_none(keys: KeyStore) -> None:
    key = f"Bearer {keys.create('acme', ['search'])}".encode()
    headers = Headers(raw=[(b"authorization", key), (b"authorization", key)])

    with pytest.raises(Unauthenticated):
        admission(keys).admit(headers, READ)


def test_the_scheme_is_read_in_any_case(keys: KeyStore) -> None:
    key = keys.create("acme", ["search"])

    assert admission(keys).admit(Headers({"authorization": f"bEARER {key}"}), WORK).tenant == "acme"


def test_a_token_that_is_not_text_is_only_wrong(keys: KeyStore) -> None:
    headers = Headers(raw=[(b"authorization", b"Bearer \xff\xfe")])

    with pytest.raises(Unauthenticated):
        admission(keys).admit(headers, Need(changes=True))


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_has_one_host(hosts: list[str]) -> None:
    headers = Headers(raw=[(b"host", host.encode()) for host in hosts])

    with pytest.raises(HostRefused):
        check_browser(headers, "GET")


def test_a_form_of_another_page_is_refused_although_it_navigates() -> None:
    headers = Headers(
        {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    )

    check_browser(headers, "GET")
    with pytest.raises(OriginRefused):
        check_browser(headers, "POST")
