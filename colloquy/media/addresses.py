"""What an image address may be, decided by its text alone."""

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from colloquy.media.failures import BadImage, ImageTooLarge, UrlNotAllowed
from colloquy.servicekit.problems import UnsupportedMedia

_MAX_URL_CHARACTERS = 2_048
_MAX_DATA_PREFIX = 256
_DATA_PREFIX = re.compile(r"data:([A-Za-z0-9.+/-]*)((?:;[A-Za-z0-9._=\"-]+)*?)(;base64)?,", re.I)
_URL = re.compile(
    r"https://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?].*)?",
    re.IGNORECASE | re.DOTALL,
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = re.compile(r"[!-~]+")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class HttpsUrl:
    """A parsed address: what was checked is what is asked, letter by letter."""

    host: str
    port: int
    target: str


def kind_of(url: str) -> Literal["data", "blob", "https"]:
    """The kind of an address.

    Raises:
        UrlNotAllowed: none that is taken: `file:`, `http:`, a bare path.
    """
    head = url[:8].lower()
    if head.startswith("data:"):
        return "data"
    if head.startswith("blob:"):
        return "blob"
    if head.startswith("https://"):
        return "https"
    raise UrlNotAllowed("give a data: URL, an https: URL or a blob: reference")


def read_data_url(url: str, max_bytes: int) -> bytes:
    """The bytes of a base64 `data:` URL. What type it claims is not believed; the bytes decide.

    Raises:
        BadImage: it is not base64, or empty. ImageTooLarge: longer than `max_bytes`.
        UnsupportedMedia: it claims to be no image at all.
    """
    match = _DATA_PREFIX.match(url[:_MAX_DATA_PREFIX])
    if match is None:
        raise BadImage("the data: URL has no comma where its data begins")
    if match[3] is None:
        raise BadImage("the data: URL must say ;base64")
    claimed = match[1].lower()
    if claimed and not claimed.startswith("image/") and claimed != "application/octet-stream":
        raise UnsupportedMedia("the data: URL is not of an image")
    encoded = url[match.end() :]
    if len(encoded) * 3 // 4 > max_bytes + 2:
        raise ImageTooLarge(f"an image may have at most {max_bytes} bytes")
    if not encoded:
        raise BadImage("the data: URL is empty")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("the data: URL is not base64") from None


def read_https_url(url: str) -> HttpsUrl:
    """Parses an `https:` address strictly; no other parser sees it afterwards.

    Raises:
        UrlNotAllowed: no plain ASCII, user names, backslashes, odd ports or numbers for hosts.
    """
    if len(url) > _MAX_URL_CHARACTERS:
        raise UrlNotAllowed("the address is too long")
    if not _PLAIN.fullmatch(url) or "\\" in url:
        raise UrlNotAllowed("the address has characters that must be escaped")
    match = _URL.fullmatch(url.partition("#")[0])
    if match is None:
        raise UrlNotAllowed("the address is not plain https://host/path")
    host = match["host"].lower()
    port = int(match["port"] or 443)
    if port != 443:
        raise UrlNotAllowed("only the standard port is allowed")
    target = match["target"] or "/"
    _check_host(host)
    return HttpsUrl(host, port, target if target.startswith("/") else "/" + target)


def _check_host(host: str) -> None:
    literal = as_address(host.strip("[]"))
    if literal is not None:
        if not is_public(literal):
            raise UrlNotAllowed("the address is not public")
        return
    labels = host.removesuffix(".").split(".")
    if len(labels) < 2 or len(host) > 253 or not all(_LABEL.fullmatch(part) for part in labels):
        raise UrlNotAllowed("the address has no full host name")
    # `127.1`, `0x7f.1`, `2130706433`: what some resolvers still read as numbers.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise UrlNotAllowed("the host is a number in an unusual form")


def as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, its embedded IPv4 address too."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            return False
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.scope_id is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
