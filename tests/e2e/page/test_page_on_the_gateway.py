"""The page as the real gateway serves it: its own headers, its own problems."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from colloquy.servicekit.problems import Unavailable
from tests.doubles.gateway import PAGE_TOKEN, RunningGateway, data_url, png, running_gateway
from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import sample_dialogues

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningGateway]:
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "dialogues.json").write_text(json.dumps(sample_dialogues()), encoding="utf-8")
    with running_gateway(tmp_path, samples=samples) as gateway:
        yield gateway


def test_a_fragment_and_a_picture_light_up_under_the_gateways_own_policy(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    page = open_page(running.url + "/")

    page.ask("market")
    page.wait_for("found")
    assert (page.lit, page.ringed) == ([2], [0])
    page.ask("picture 1")
    page.until(lambda: page.ringed == [1], "the other picture is ringed")
    page.tab("topics")
    page.wait_for("topics")

    assert page.complaints() == []


def test_a_picture_that_cannot_be_decoded_is_a_card_and_the_next_search_works(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    page = open_page(running.url + "/")
    broken = data_url(png()[:60])
    part = {"type": "image_url", "image_url": {"url": broken}}
    turns = [{"speaker": "Ana", "content": "hello"}, {"speaker": "Ben", "content": [part]}]
    page.write_own(json.dumps({"utterances": turns}))
    page.show_own()

    page.ask("hello")
    page.wait_for("failed")
    assert "turn 1" in page.panel
    assert "422 bad-image" in page.panel
    assert page.all("#turn-1.faulty")
    page.choose("A cabin and a market")
    page.ask("cabin")
    page.wait_for("found")

    assert page.lit == [0]
    assert page.complaints(expected_status=422) == []


def test_a_field_that_the_api_does_not_know_is_named(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    page = open_page(running.url + "/")
    page.write_own('{"utterances": [{"speaker": "Ana", "content": "hello", "mood": "good"}]}')
    page.show_own()

    page.ask("hello")
    page.wait_for("failed")

    assert "turn 0" in page.panel
    assert "mood" in page.panel


def test_an_engine_that_restarts_is_waited_for(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    running.generator.failure = Unavailable("the engine is being restarted", retry_after_s=1)
    page = open_page(running.url + "/")
    page.ask("cabin")
    page.wait_for("waiting")

    running.generator.failure = None
    page.wait_for("found")

    assert page.lit == [0]


def test_leaving_a_search_cancels_it_down_to_the_generator(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    running.generator.delay_s = 20
    page = open_page(running.url + "/")
    page.ask("cabin")
    page.until(lambda: running.generator.asked, "the generator is asked")

    page.one("#find-button").click()

    page.wait_for("idle")
    page.until(lambda: running.generator.cancelled == 1, "the generator stops")


def test_an_uploaded_picture_is_shown_by_its_reference(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    token = {"authorization": f"Bearer {PAGE_TOKEN}"}
    upload = {"image": {"url": data_url(png())}}
    ref = running.http.post("/v1/images", json=upload, headers=token).json()["ref"]
    page = open_page(running.url + "/")
    part = {"type": "image_url", "image_url": {"url": ref}}
    page.write_own(json.dumps({"utterances": [{"speaker": "Ana", "content": [part]}]}))
    page.show_own()

    page.until(lambda: page.all(".picture img"), "the picture is shown")
    page.ask("picture 0")
    page.until(lambda: page.ringed == [0], "it is found")

    assert page.complaints() == []


def test_with_keys_the_page_asks_for_one(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    bearer = running.key("family", "search")["authorization"]
    page = open_page(running.url + "/")

    page.ask("cabin")
    page.until(lambda: page.one("#key-dialog").is_displayed(), "a key is asked for")
    page.one("#key").send_keys(bearer.removeprefix("Bearer "))
    page.one("#key-form button[type=submit]").click()
    page.wait_for("found")

    assert page.lit == [0]


def test_an_installation_without_an_index_says_so_calmly(
    open_page: Callable[[str], Page], running: RunningGateway
) -> None:
    page = open_page(running.url + "/")

    page.tab("search")
    page.until(lambda: "has no collections" in page.text("#results"), "search says it")
    page.tab("collections")
    page.until(lambda: "has no collections" in page.text("#collections-body"), "so does the other")

    assert not page.all("main .card-problem")
