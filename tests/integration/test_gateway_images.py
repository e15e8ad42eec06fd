"""Pictures up and down through a real gateway."""

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from tests.doubles.gateway import PAGE_TOKEN, RunningGateway, data_url, png, running_gateway

pytestmark = pytest.mark.integration
TOKEN = {"authorization": f"Bearer {PAGE_TOKEN}"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def upload(gateway: RunningGateway, data: bytes, kind: str = "image/png") -> httpx.Response:
    headers = TOKEN | {"content-type": kind}
    return gateway.http.post("/v1/images", content=data, headers=headers)


def test_takes_a_picture_as_the_body(gateway: RunningGateway) -> None:
    body = upload(gateway, png(size=(40, 30))).json()

    assert body["ref"].startswith("blob:")
    assert (body["media_type"], body["width"], body["height"]) == ("image/png", 40, 30)
    assert body["bytes"] > 0
    assert body["request_id"]


def test_takes_a_picture_inside_json_with_the_same_reference(gateway: RunningGateway) -> None:
    inside = {"image": {"url": data_url(png())}}

    reply = gateway.http.post("/v1/images", json=inside, headers=TOKEN)

    assert reply.json()["ref"] == upload(gateway, png()).json()["ref"]


def test_gives_the_bytes_with_their_type_to_nobody_elses_cache(gateway: RunningGateway) -> None:
    ref = upload(gateway, png(size=(40, 30))).json()["ref"]

    reply = gateway.http.get(f"/v1/images/{ref}")

    assert Image.open(io.BytesIO(reply.content)).size == (40, 30)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"].startswith("private")
    assert "sandbox" in reply.headers["content-security-policy"]


def test_takes_an_escaped_reference_too(gateway: RunningGateway) -> None:
    ref = upload(gateway, png()).json()["ref"]

    assert gateway.http.get(f"/v1/images/{ref.replace(':', '%3A')}").status_code == 200


def test_says_not_modified_to_who_has_it(gateway: RunningGateway) -> None:
    ref = upload(gateway, png()).json()["ref"]
    tag = gateway.http.get(f"/v1/images/{ref}").headers["etag"]

    reply = gateway.http.get(f"/v1/images/{ref}", headers={"if-none-match": tag})

    assert (reply.status_code, reply.content) == (304, b"")


def test_a_tag_does_not_open_what_is_missing(gateway: RunningGateway) -> None:
    ref = f"blob:{'1' * 64}"

    reply = gateway.http.get(f"/v1/images/{ref}", headers={"if-none-match": f'"{"1" * 64}-whole"'})

    assert reply.status_code == 404


@pytest.mark.parametrize(("asked", "wide"), [(64, 64), (256, 200)])
def test_shrinks_to_a_width_and_never_enlarges(
    gateway: RunningGateway, asked: int, wide: int
) -> None:
    ref = upload(gateway, png(size=(200, 100))).json()["ref"]

    reply = gateway.http.get(f"/v1/images/{ref}", params={"w": asked})

    width, height = Image.open(io.BytesIO(reply.content)).size
    assert width <= wide
    assert width > wide * 0.9
    assert abs(width - 2 * height) <= 2


@pytest.mark.parametrize("width", ["63", "0", "-64", "x", "99999999999999999999"])
def test_only_the_listed_widths_are_taken(gateway: RunningGateway, width: str) -> None:
    ref = upload(gateway, png()).json()["ref"]

    reply = gateway.http.get(f"/v1/images/{ref}", params={"w": width})

    assert reply.status_code == 422
    assert reply.json()["type"].endswith("invalid-request")


@pytest.mark.parametrize("ref", ["blob:x", "blob:" + "0" * 64, "x" * 128, "..%2f..%2fetc%2fpasswd"])
def test_what_is_no_reference_is_missing(gateway: RunningGateway, ref: str) -> None:
    assert gateway.http.get(f"/v1/images/{ref}").status_code == 404


@pytest.mark.parametrize("body", ["{}", "[]", '{"image": 3}', '{"image": {"url": "x"}, "y": 1}'])
def test_a_wrong_upload_names_the_place(gateway: RunningGateway, body: str) -> None:
    reply = upload(gateway, body.encode(), "application/json")

    assert reply.status_code == 422
    assert reply.json()["faults"][0]["at"].startswith("body")


@pytest.mark.parametrize("kind", ["text/plain", "", "application/octet-stream", "multipart/x"])
def test_other_kinds_of_body_are_refused(gateway: RunningGateway, kind: str) -> None:
    assert upload(gateway, png(), kind).status_code == 415


def test_an_encoded_body_is_refused(gateway: RunningGateway) -> None:
    headers = TOKEN | {"content-type": "image/png", "content-encoding": "gzip"}

    assert gateway.http.post("/v1/images", content=png(), headers=headers).status_code == 415
