"""Fetching for a caller, against a real TLS server that public names are led to."""

import asyncio
import contextlib
import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import httpcore
import pytest
import pytest_asyncio

from colloquy.media.addresses import Address
from colloquy.media.failures import ImageNotFetched, ImageTooLarge, UrlNotAllowed
from colloquy.media.fetch import SafeFetcher
from colloquy.profile import Fetch

pytestmark = pytest.mark.integration

PUBLIC = ipaddress.ip_address("93.184.216.34")
LOOPBACK = ipaddress.ip_address("127.0.0.1")
HEAD = "HTTP/1.1 {}\r\nconnection: close\r\n"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the names that the tests use, which signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    openssl = shutil.which("openssl")
    assert openssl, "these tests need the openssl command"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
            "-addext",
            "subjectAltName=DNS:pictures.example,DNS:other.example",
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class Site:
    """A TLS server on the loopback that answers each path as a test says."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, bytes | Callable[[asyncio.StreamWriter], Any]] = {}
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            self.asked.append(head)
            answer = self.answers.get(path, HEAD.format("404 Not Found").encode() + b"\r\n")
            if callable(answer):
                await answer(writer)
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()

    def page(self, path: str, body: bytes, *headers: str, status: str = "200 OK") -> None:
        lines = HEAD.format(status) + "".join(f"{line}\r\n" for line in headers)
        self.answers[path] = lines.encode() + b"\r\n" + body


@pytest_asyncio.fixture
async def site(authority: tuple[Path, Path]) -> AsyncIterator[Site]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority)
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()
    await server.wait_closed()


class ToSite(httpcore.AsyncNetworkBackend):
    """Leads every connection to the site, and notes which address was asked for."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._real = httpcore.AnyIOBackend()
        self.connected: list[str] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        return await self._real.connect_tcp("127.0.0.1", self._site.port, timeout)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Fetcher = Callable[..., SafeFetcher]


@pytest.fixture
def backend(site: Site) -> ToSite:
    return ToSite(site)


@pytest_asyncio.fixture
async def fetcher(
    site: Site, backend: ToSite, authority: tuple[Path, Path]
) -> AsyncIterator[Fetcher]:
    made: list[SafeFetcher] = []

    def make(*answers: Sequence[Address], **settings: Any) -> SafeFetcher:
        given = list(answers) or [[PUBLIC]]

        async def resolve(host: str, port: int) -> Sequence[Address]:
            return given.pop(0) if len(given) > 1 else given[0]

        made.append(
            SafeFetcher(
                Fetch(**({"enabled": True, "timeout_ms": 3_000} | settings)),
                max_bytes=10_000,
                resolve=resolve,
                backend=backend,
                tls=ssl.create_default_context(cafile=str(authority[0])),
            )
        )
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_a_picture_is_fetched_from_the_address_that_was_checked(
    site: Site, backend: ToSite, fetcher: Fetcher
) -> None:
    site.page("/a.png?x=1", b"picture", "content-length: 7")

    assert await fetcher().fetch("https://pictures.example/a.png?x=1") == b"picture"

    assert backend.connected == [str(PUBLIC)]
    assert "host: pictures.example\r\n" in site.asked[0]
    assert "cookie" not in site.asked[0].lower()


async def test_fetching_is_off_unless_the_profile_says_otherwise(fetcher: Fetcher) -> None:
    with pytest.raises(UrlNotAllowed, match="fetches nothing"):
        await fetcher(enabled=False).fetch("https://pictures.example/")


@pytest.mark.parametrize(
    "addresses",
    [
        [LOOPBACK],
        [PUBLIC, LOOPBACK],
        [ipaddress.ip_address("169.254.169.254")],
        [ipaddress.ip_address("::ffff:10.0.0.1")],
        [ipaddress.ip_address("::1")],
    ],
)
async def test_a_public_name_with_a_private_address_is_refused(
    backend: ToSite, fetcher: Fetcher, addresses: list[Address]
) -> None:
    with pytest.raises(UrlNotAllowed):
        await fetcher(addresses).fetch("https://pictures.example/")

    assert backend.connected == []


async def test_a_name_is_resolved_once_so_a_second_answer_changes_nothing(
    site: Site, backend: ToSite, fetcher: Fetcher
) -> None:
    site.page("/", b"picture")

    await fetcher([PUBLIC], [LOOPBACK]).fetch("https://pictures.example/")

    assert backend.connected == [str(PUBLIC)]


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "http://pictures.example/",
        "file:///etc/passwd",
        "//127.0.0.1/",
        "https://user@pictures.example/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "\\\\127.0.0.1",
        "",
    ],
)
async def test_a_redirect_to_where_nobody_may_go_is_refused(
    site: Site, backend: ToSite, fetcher: Fetcher, target: str
) -> None:
    site.page("/", b"", f"location: {target}", status="302 Found")

    with pytest.raises(UrlNotAllowed):
        await fetcher().fetch("https://pictures.example/")

    assert backend.connected == [str(PUBLIC)]


async def test_a_redirect_to_a_name_that_resolves_inside_is_refused(
    site: Site, backend: ToSite, fetcher: Fetcher
) -> None:
    site.page("/", b"", "location: https://other.example/", status="301 Moved")

    with pytest.raises(UrlNotAllowed):
        await fetcher([PUBLIC], [LOOPBACK]).fetch("https://pictures.example/")

    assert backend.connected == [str(PUBLIC)]


async def test_redirects_are_followed_and_counted(site: Site, fetcher: Fetcher) -> None:
    site.page("/1", b"", "location: /2", status="302 Found")
    site.page("/2", b"", "location: https://other.example/3", status="307 There")
    site.page("/3", b"picture")

    assert await fetcher().fetch("https://pictures.example/1") == b"picture"
    with pytest.raises(ImageNotFetched, match="too often"):
        await fetcher(max_redirects=1).fetch("https://pictures.example/1")


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        (["pictures.example"], "https://pictures.example/", True),
        (["example"], "https://pictures.example/", True),
        (["other.example"], "https://pictures.example/", False),
        (["tures.example"], "https://pictures.example/", False),
        (["PICTURES.example"], "https://Pictures.Example/", True),
    ],
)
async def test_only_listed_hosts_are_asked_where_there_is_a_list(
    site: Site, backend: ToSite, fetcher: Fetcher, hosts: list[str], url: str, allowed: bool
) -> None:
    site.page("/", b"picture")
    made = fetcher(hosts=hosts)

    if allowed:
        assert await made.fetch(url) == b"picture"
    else:
        with pytest.raises(UrlNotAllowed):
            await made.fetch(url)
        assert backend.connected == []


async def test_a_redirect_off_the_list_is_refused(site: Site, fetcher: Fetcher) -> None:
    site.page("/", b"", "location: https://other.example/", status="302 Found")

    with pytest.raises(UrlNotAllowed):
        await fetcher(hosts=["pictures.example"]).fetch("https://pictures.example/")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_picture_over_the_limit_is_refused(
    site: Site, fetcher: Fetcher, announced: bool
) -> None:
    site.page("/", b"x" * 10_001, *(["content-length: 10001"] if announced else []))

    with pytest.raises(ImageTooLarge):
        await fetcher().fetch("https://pictures.example/")


async def test_an_endless_answer_ends_at_the_limit(site: Site, fetcher: Fetcher) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.format("200 OK").encode() + b"\r\n")
        while True:
            writer.write(b"x" * 1_000)
            await writer.drain()

    site.answers["/"] = endless

    with pytest.raises(ImageTooLarge):
        await fetcher().fetch("https://pictures.example/")


async def test_a_slow_site_is_given_up(site: Site, fetcher: Fetcher) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.format("200 OK").encode() + b"content-length: 100\r\n\r\n")
        for _ in range(50):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    site.answers["/"] = drip

    with pytest.raises(ImageNotFetched, match="in time"):
        await fetcher(timeout_ms=400).fetch("https://pictures.example/")


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "206 Partial"])
async def test_what_is_not_given_is_not_fetched(site: Site, fetcher: Fetcher, status: str) -> None:
    site.page("/", b"", status=status)

    with pytest.raises(ImageNotFetched):
        await fetcher().fetch("https://pictures.example/")


async def test_a_compressed_answer_is_refused(site: Site, fetcher: Fetcher) -> None:
    site.page("/", b"x", "content-encoding: gzip")

    with pytest.raises(ImageNotFetched):
        await fetcher().fetch("https://pictures.example/")


async def test_a_site_with_another_name_in_its_certificate_is_not_trusted(
    site: Site, fetcher: Fetcher
) -> None:
    site.page("/", b"picture")

    with pytest.raises(ImageNotFetched) as failed:
        await fetcher().fetch("https://elsewhere.example/")

    assert "certificate" not in failed.value.detail.lower()


async def test_a_name_that_does_not_resolve_is_not_fetched(fetcher: Fetcher) -> None:
    with pytest.raises(ImageNotFetched):
        await fetcher([]).fetch("https://pictures.example/")
