"""Which image addresses are taken; all is decided from their text."""

import base64
import ipaddress

import pytest

from colloquy.media.addresses import is_public, kind_of, read_data_url, read_https_url
from colloquy.media.failures import BadImage, ImageTooLarge, UrlNotAllowed
from colloquy.servicekit.problems import UnsupportedMedia


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "/etc/passwd",
        "../../secret.png",
        "C:\\pictures\\a.png",
        "http://example.com/a.png",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "//example.com/a.png",
        "ftp://example.com/a.png",
        "gopher://127.0.0.1:6379/_x",
        "javascript:alert(1)",
        "https:/example.com",
        "https:example.com",
        " https://example.com",
        "\thttps://example.com",
        "h\nttps://example.com",
        "",
        "data",
        "image.png",
    ],
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        kind_of(url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("data:image/png;base64,AA", "data"),
        ("DATA:,x", "data"),
        ("blob:ab", "blob"),
        ("https://a.example/x", "https"),
        ("HTTPS://a.example", "https"),
    ],
)
def test_the_kinds_that_are_taken(url: str, kind: str) -> None:
    assert kind_of(url) == kind


# --- data: ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    [
        "data:image/png;base64,",
        "data:;base64,",
        "data:image/jpeg;charset=utf-8;base64,",
        "DATA:image/PNG;BASE64,",
        "data:application/octet-stream;base64,",
    ],
)
def test_a_data_url_gives_its_bytes(prefix: str) -> None:
    data = bytes(range(256))

    assert read_data_url(prefix + base64.b64encode(data).decode(), 1_000) == data


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("data:image/png,rawbytes", BadImage),
        ("data:image/png;base64,", BadImage),
        ("data:image/png;base64,%%%", BadImage),
        ("data:image/png;base64,AAA", BadImage),
        ("data:image/png;base64,AA\nAA", BadImage),
        ("data:image/png;base64,AA-_", BadImage),
        ("data:image/png;base64,ÄÖÜß", BadImage),
        ("data:image/png;base64", BadImage),
        ("data:", BadImage),
        ("data:" + "a" * 10_000 + ";base64,AAAA", BadImage),
        ("data:" + ";a=b" * 10_000, BadImage),
        ("data:text/html;base64,AAAA", UnsupportedMedia),
        ("data:application/pdf;base64,AAAA", UnsupportedMedia),
        ("data:image/png;base64," + "A" * 4_000, ImageTooLarge),
    ],
)
def test_a_wrong_data_url_is_its_own_failure(url: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_data_url(url, 1_000)


def test_the_limit_of_bytes_is_exact() -> None:
    for size in (999, 1_000):
        url = "data:;base64," + base64.b64encode(b"x" * size).decode()
        assert len(read_data_url(url, 1_000)) == size


# --- https: -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.1.2.3/a.png",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://240.0.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fc00::1]/",
        "https://[ff02::1]/",
        "https://[2002:7f00:1::]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2001:0:4136:e378::1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://1.2.3.4.5/",
        "https://localhost/",
        "https://intranet/",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://127.0.0.1\\.example.com/",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:99999/",
        "https://example.com:/",
        "https://exämple.com/",
        "https://example.com/\u3002",
        "https://①②⑦.0.0.1/",
        "https://example.com/a b",
        "https://example.com/\r\nhost: x",
        "https://example.com/\x00",
        "https:///etc/passwd",
        "https://",
        "https://?x",
        "https://-a.example/",
        "https://a..example/",
        "https://exa_mple.com/",
        "https://%31%32%37.0.0.1/",
        "https://example.com" + "/a" * 2_000,
        "https://" + "a" * 64 + ".example/",
    ],
)
def test_an_address_that_leads_inside_or_reads_two_ways_is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        read_https_url(url)


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("https://Example.com/A.png?x=1#part", "example.com", "/A.png?x=1"),
        ("https://example.com", "example.com", "/"),
        ("https://example.com?x", "example.com", "/?x"),
        ("https://example.com:443/a", "example.com", "/a"),
        ("https://8.8.8.8/a", "8.8.8.8", "/a"),
        ("https://[2606:4700::1111]/a", "[2606:4700::1111]", "/a"),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", "/"),
        ("https://example.com/a@b", "example.com", "/a@b"),
    ],
)
def test_a_public_address_is_read(url: str, host: str, target: str) -> None:
    read = read_https_url(url)

    assert (read.host, read.port, read.target) == (host, 443, target)


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
