"""Fetching a caller's picture: the address is pinned, and every redirect is a new address."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore

from colloquy.media.addresses import Address, HttpsUrl, as_address, is_public, read_https_url
from colloquy.media.failures import ImageNotFetched, ImageTooLarge, UrlNotAllowed
from colloquy.profile import Fetch

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


async def resolve_name(host: str, port: int) -> list[Address]:
    """Every address of `host`, as the system knows them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [as_address(str(entry[4][0])) for entry in found]
    return [address for address in addresses if address is not None]


class SafeFetcher:
    """Fetches pictures for callers, where the profile allows it.

    A name is resolved once, every address it has must be public, and the connection goes to the
    address that was checked: a second answer of the name server changes nothing. The certificate
    is still that of the name. No cookies, no proxy, no compression, a bound on bytes and time.

    Args:
        resolve, backend, tls: for tests, to send public names to a local server.
    """

    def __init__(
        self,
        settings: Fetch,
        *,
        max_bytes: int,
        resolve: Resolve = resolve_name,
        backend: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._max_bytes = max_bytes
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            network_backend=_Pinned(resolve, backend or httpcore.AnyIOBackend()),
            max_connections=16,
            max_keepalive_connections=0,  # a kept connection would outlive its check
            retries=0,
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def fetch(self, url: str) -> bytes:
        """The bytes at `url`.

        Raises:
            UrlNotAllowed: fetching is off, the host is not on the list, or an address on the way
                is not public. ImageNotFetched: the site does not give it in time.
            ImageTooLarge: it is longer than allowed.
        """
        if not self._settings.enabled:
            raise UrlNotAllowed("this installation fetches nothing: send data: or upload it first")
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1_000):
                return await self._follow(read_https_url(url))
        except TimeoutError:
            raise ImageNotFetched("the site did not give the image in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
            raise ImageNotFetched("the site cannot be reached") from None

    async def _follow(self, url: HttpsUrl) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            self._check_listed(url.host)
            answer = await self._get(url)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise ImageNotFetched("the site redirects too often")

    def _check_listed(self, host: str) -> None:
        allowed = [name.lower() for name in self._settings.hosts]
        name = host.removesuffix(".")
        if allowed and not any(name == a or name.endswith("." + a) for a in allowed):
            raise UrlNotAllowed("the host is not one this installation fetches from")

    async def _get(self, url: HttpsUrl) -> "bytes | HttpsUrl":
        asked = httpcore.URL(
            scheme=b"https", host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        headers = [
            (b"host", url.host.encode()),
            (b"accept", b"image/*"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"colloquy"),
        ]
        async with self._pool.stream("GET", asked, headers=headers) as response:
            if response.status in _REDIRECTS:
                return _next(url, _header(response.headers, b"location"))
            if response.status != 200:
                raise ImageNotFetched("the site does not give the image")
            if _header(response.headers, b"content-encoding").lower() not in ("", "identity"):
                raise ImageNotFetched("the site sends the image compressed")
            return await self._read(response)

    async def _read(self, response: httpcore.Response) -> bytes:
        announced = _header(response.headers, b"content-length")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise self._too_large()
        data = bytearray()
        async for chunk in response.aiter_stream():
            data += chunk
            if len(data) > self._max_bytes:
                raise self._too_large()
        return bytes(data)

    def _too_large(self) -> ImageTooLarge:
        return ImageTooLarge(f"an image may have at most {self._max_bytes} bytes")


def _next(url: HttpsUrl, location: str) -> HttpsUrl:
    if location.startswith("/") and not location.startswith("//"):
        location = f"https://{url.host}{location}"
    return read_https_url(location)


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    for key, value in headers:
        if key.lower() == name:
            return value.decode("latin-1").strip()
    return ""


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only: the name is resolved here and nowhere else."""

    def __init__(self, resolve: Resolve, backend: httpcore.AsyncNetworkBackend) -> None:
        self._resolve = resolve
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of the port
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        literal = as_address(host.strip("[]"))
        addresses = [literal] if literal is not None else await self._resolve(host, port)
        if not addresses:
            raise ImageNotFetched("the host has no address")
        if not all(is_public(address) for address in addresses):
            raise UrlNotAllowed("the address is not public")
        return await self._backend.connect_tcp(
            str(addresses[0]), port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)
