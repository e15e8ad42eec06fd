"""Keys, tokens and a gateway that is not there."""

from collections.abc import Callable

import pytest

from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import StandIn, found, serve

pytestmark = pytest.mark.browser


def test_a_gateway_that_wants_a_key_is_given_one_and_asked_again(
    page: Page, gateway: StandIn
) -> None:
    gateway.key = "cq_1_secret"
    gateway.otherwise = found([1], [])

    page.ask("a cabin")
    page.until(lambda: page.one("#key-dialog").is_displayed(), "a key is asked for")
    page.one("#key").send_keys("wrong")
    page.one("#key-form button[type=submit]").click()
    page.until(lambda: "does not know that key" in page.one("#key-why").text, "it asks again")
    page.one("#key").send_keys("cq_1_secret")
    page.one("#key-form button[type=submit]").click()
    page.wait_for("found")

    assert page.lit == [1]
    assert page.complaints(expected_status=401) == []


def test_declining_to_give_a_key_shows_the_gateways_own_words(page: Page, gateway: StandIn) -> None:
    gateway.key = "cq_1_secret"

    page.ask("a cabin")
    page.until(lambda: page.one("#key-dialog").is_displayed(), "a key is asked for")
    page.one("#key-cancel").click()
    page.wait_for("failed")

    assert "A key is needed" in page.panel


def test_a_token_in_the_address_is_used_and_taken_out_of_it(
    open_page: Callable[[str], Page], gateway: StandIn
) -> None:
    gateway.key = "page-token"
    gateway.otherwise = found([1], [])

    page = open_page(f"{gateway.url}#token=page-token")
    page.ask("a cabin")
    page.wait_for("found")

    assert page.driver.current_url == gateway.url
    page.one(".call summary").click()
    assert "page-token" not in page.text(".call")
    assert "$COLLOQUY_KEY" in page.text(".call")


def test_the_status_says_what_is_not_ready(page: Page, gateway: StandIn) -> None:
    page.until(lambda: page.one("#status-text").text == "Ready", "the status is green")

    gateway.ready = False
    page.until(lambda: page.one("#status-text").text == "Not ready yet", "the status turns")
    page.one("#status").click()

    assert "engine starter" in page.text("#status-detail")
    assert "is starting" in page.text("#status-detail")


def test_a_gateway_that_left_is_named_as_that(open_page: Callable[[str], Page]) -> None:
    with serve() as gateway:
        page = open_page(gateway.url)
    page.ask("a cabin")
    page.wait_for("failed")

    assert "The gateway cannot be reached" in page.panel
