"""Who may come in, as which tenant, and how much of the gateway they may use at once."""

import hmac
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field

from starlette.datastructures import Headers

from colloquy.servicekit.keys import OPERATOR, SCOPES, KeyStore, Scope
from colloquy.servicekit.problems import Overloaded, TooManyRequests, Unauthenticated
from gateway.problems import ScopeMissing
from gateway.settings import Settings

LOCAL_TENANT = "local"
_RETRY_AFTER_S = 1
_STREAM_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Need:
    """What a route asks of its caller.

    Attributes:
        scope: that the key must have; None where any key will do.
        changes: it changes something, so without keys the page's token is needed.
        counted: it is work, so the tenant's quota counts it.
        streamed: it lasts and does little meanwhile, so it holds a place among streams instead of
            one among requests.
    """

    scope: Scope | None = None
    changes: bool = False
    counted: bool = False
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. The key alone decides it, never the request.

    Attributes:
        tenant: whose pictures and dialogues these are; None for an operator.
        scopes: what the key allows.
    """

    tenant: str | None
    scopes: frozenset[str]

    @property
    def is_operator(self) -> bool:
        return OPERATOR in self.scopes


class Admission:
    """Identifies callers and keeps them within their quotas; all in this process.

    Without keys everybody who reaches the gateway is the tenant `local`, and an operator too:
    only this machine reaches it then. A stack that ever had a key asks for one: revoking the last
    key closes the door instead of opening it.
    """

    def __init__(
        self, keys: KeyStore, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._page_token = settings.page_token
        self._quota = settings.tenant
        self._requests = Places("requests", settings.tenant.max_running, settings.max_running)
        self._streams = Places(
            "streams of events",
            settings.tenant.max_streams,
            settings.max_streams,
            retry_after_s=_STREAM_RETRY_AFTER_S,
        )
        self._clock = clock
        self._keyed = False
        self._buckets: dict[str, TokenBucket] = {}

    @property
    def keyless(self) -> bool:
        # A list of no keys costs a few microseconds; once there are some it is not asked again.
        self._keyed = self._keyed or bool(self._keys.list())
        return not self._keyed

    @property
    def running(self) -> int:
        return self._requests.taken.total()

    def admit(self, headers: Headers, need: Need) -> Caller:
        """Decides who calls and whether they may.

        Raises:
            Unauthenticated: no key, or none that is valid. ScopeMissing: it does not allow this.
        """
        if self.keyless:
            if need.changes:
                self._want_page_token(headers)
            return Caller(LOCAL_TENANT, SCOPES)
        key = _bearer(headers)
        if key is None:
            raise Unauthenticated("send `Authorization: Bearer <key>`")
        record = self._keys.find(key)
        if record is None:
            raise Unauthenticated("the key is not valid")
        if need.scope is not None and need.scope not in record.scopes:
            raise ScopeMissing(f"the key needs the scope `{need.scope}`", scope=need.scope)
        return Caller(record.tenant, record.scopes)

    @contextmanager
    def room(self, caller: Caller, need: Need) -> Iterator[None]:
        """Holds a place for one request.

        Raises:
            TooManyRequests: the tenant's quota is used up. Overloaded: the gateway is full.
        """
        if not need.counted or caller.tenant is None:
            yield
            return
        tenant = caller.tenant
        places = self._streams if need.streamed else self._requests
        places.check(tenant)
        wait_s = self._bucket(tenant).take(self._clock())
        if wait_s > 0:
            raise TooManyRequests(
                f"at most {self._quota.requests_per_s:g} requests may be sent a second",
                retry_after_s=math.ceil(wait_s),
            )
        places.taken[tenant] += 1
        try:
            yield
        finally:
            places.taken[tenant] -= 1

    def _bucket(self, tenant: str) -> "TokenBucket":
        bucket = self._buckets.get(tenant)
        if bucket is None:
            quota = self._quota
            bucket = TokenBucket(quota.requests_per_s, quota.burst, self._clock())
            self._buckets[tenant] = bucket
        return bucket

    def _want_page_token(self, headers: Headers) -> None:
        if self._page_token is None:
            raise Unauthenticated(
                "nothing can be changed: the gateway was started without a page token and has no "
                "keys; `colloquy keys create` makes one"
            )
        offered = _bearer(headers) or ""
        if not hmac.compare_digest(offered.encode(), self._page_token.get_secret_value().encode()):
            raise Unauthenticated(
                "without keys a change needs the token that `colloquy up` printed, as "
                "`Authorization: Bearer <token>`"
            )


@dataclass(slots=True)
class Places:
    """What may be under way at once.

    Attributes:
        what: is under way, in words.
        each, all: the bounds, of one tenant and of all together.
    """

    what: str
    each: int
    all: int
    retry_after_s: int = _RETRY_AFTER_S
    taken: Counter[str] = field(default_factory=Counter)

    def check(self, tenant: str) -> None:
        """
        Raises:
            TooManyRequests: the tenant has all of its places. Overloaded: all places are taken.
        """
        if self.taken[tenant] >= self.each:
            raise TooManyRequests(
                f"at most {self.each} {self.what} may be under way at once",
                retry_after_s=self.retry_after_s,
            )
        if self.taken.total() >= self.all:
            raise Overloaded(
                f"too many {self.what} are under way", retry_after_s=self.retry_after_s
            )


class TokenBucket:
    """Fills at `per_s` up to `size`; starts full."""

    def __init__(self, per_s: float, size: int, now_s: float) -> None:
        self._per_s = per_s
        self._size = float(size)
        self._tokens = self._size
        self._filled_s = now_s

    def take(self, now_s: float) -> float:
        """Takes one token and returns 0, or returns the seconds until there is one."""
        grown = (now_s - self._filled_s) * self._per_s
        self._tokens = min(self._size, self._tokens + grown)
        self._filled_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[KeyStore]:
    with closing(KeyStore(settings.keys_file)) as keys:
        yield keys


def _bearer(headers: Headers) -> str | None:
    offered = headers.getlist("authorization")
    if len(offered) != 1:
        return None
    scheme, _, key = offered[0].strip().partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
