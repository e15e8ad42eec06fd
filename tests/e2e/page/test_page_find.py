"""*Find* in a real Chromium, over a gateway that answers as told."""

import threading
from dataclasses import replace

import pytest

from tests.doubles.page_replies import problem
from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import StandIn, found, split

pytestmark = pytest.mark.browser


def test_a_suggested_query_lights_its_fragment_in_place(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = found([2, 3, 4], [0])

    page.click_query("the price of the find")
    page.wait_for("found")

    assert page.lit == page.listed == [2, 3, 4]
    page.until(lambda: page.in_sight(2) and page.in_sight(4), "the fragment is in sight")
    page.until(lambda: page.opacity(0) < 0.6 < page.opacity(3), "the rest is dimmed")
    assert "3 turns and 1 picture" in page.panel
    assert "379 ms" in page.panel
    assert "fragment@1" in page.panel
    assert page.one("#announcer").get_attribute("textContent") == (
        "Found 3 turns and 1 picture: turn 2–4."
    )
    [(path, body)] = gateway.asked
    assert path == "/v1/fragments/search"
    assert body == {
        "query": "the price of the find",
        "dialogue": gateway.samples[0]["dialogue"],
    }
    assert page.complaints() == []


def test_a_query_that_a_picture_answers_rings_that_picture(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = found([5], [1])

    page.click_query("something blue")
    page.wait_for("found")

    assert page.ringed == [1]
    assert len(page.all(".hit .thumb")) == 1


def test_a_listed_turn_leads_to_its_place(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = found([6], [])
    page.ask("bathroom")
    page.wait_for("found")

    page.one(".hit").click()

    page.until(lambda: page.run("return document.activeElement.id") == "turn-6", "it has focus")


def test_nothing_found_is_said_and_dims_nothing(page: Page) -> None:
    page.ask("dragons")
    page.wait_for("nothing")

    assert "Nothing in this dialogue answers that." in page.panel
    assert page.lit == []
    page.until(lambda: page.opacity(0) == 1, "nothing is dimmed")


def test_the_gateways_faults_become_a_card_that_leads_to_the_turn(
    page: Page, gateway: StandIn
) -> None:
    fault = {"at": "body/dialogue/utterances/3/content", "why": "The text is too long."}
    gateway.otherwise = problem(
        422, "invalid-request", "The request is not valid", "One field is wrong.", faults=[fault]
    )

    page.ask("anything at all")
    page.wait_for("failed")

    for words in ("The request is not valid", "One field is wrong.", "turn 3", "too long"):
        assert words in page.panel
    assert "422 invalid-request" in page.panel
    assert "req-of-a-pro" in page.panel
    assert page.all("#turn-3.faulty")
    assert page.one("#query").get_attribute("value") == "anything at all"
    assert page.complaints(expected_status=422) == []


def test_a_starting_engine_is_shown_and_asked_again_by_itself(page: Page, gateway: StandIn) -> None:
    seen = threading.Event()
    gateway.replies.append(
        problem(503, "unavailable", "Not available", "The engine loads.", retry_after=1)
    )
    gateway.replies.append(replace(found([1], []), hold=seen))

    page.ask("a cabin")
    page.wait_for("waiting")
    assert "The engine is starting" in page.panel
    seen.set()
    page.wait_for("found")

    assert page.lit == [1]
    assert len(gateway.asked) == 2


def test_waiting_for_an_engine_can_be_cancelled(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = problem(503, "unavailable", "Not available", "It loads.", retry_after=60)
    page.ask("a cabin")
    page.wait_for("waiting")

    page.one("#find-button").click()
    page.wait_for("idle")

    assert "Cancelled." in page.panel


def test_a_running_search_can_be_cancelled_and_the_next_one_answers(
    page: Page, gateway: StandIn
) -> None:
    held = threading.Event()
    gateway.replies.append(replace(found([0], []), hold=held))
    gateway.otherwise = found([4], [])
    page.ask("slow")
    page.wait_for("running")
    assert page.one("#find-button").text == "Cancel"

    page.one("#find-button").click()
    page.wait_for("idle")
    held.set()
    page.ask("quick")
    page.wait_for("found")

    assert page.lit == [4]


def test_another_dialogue_drops_what_was_found_in_the_one_before(
    page: Page, gateway: StandIn
) -> None:
    gateway.otherwise = found([1], [])
    page.ask("a cabin")
    page.wait_for("found")

    page.choose("周末的风筝")

    assert page.kind == "idle"
    assert page.lit == []
    assert page.queries == ["他们去哪里?"]
    assert page.one("#turns").get_attribute("lang") == "zh-Hans"


def test_the_keyboard_reaches_everything_that_matters(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = found([1], [])
    page.run("document.body.focus()")

    page.one("body").send_keys("/")
    assert page.run("return document.activeElement.id") == "query"
    page.ask("a cabin")
    page.wait_for("found")
    page.one("#tab-find").send_keys("")  # nothing typed: only to be there
    page.run("document.getElementById('tab-find').focus()")
    page.one("#tab-find").send_keys("\ue014")  # the right arrow key
    assert page.one("#tab-topics").get_attribute("aria-selected") == "true"


def test_the_call_behind_a_result_can_be_read_as_curl(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = found([1], [])
    page.ask("it's `here` $HOME")
    page.wait_for("found")

    page.one(".call summary").click()

    shown = page.text(".call-text")
    assert shown.startswith(f"curl -sS {gateway.url}v1/fragments/search")
    assert "it's `here` $HOME" in shown
    assert "<<'JSON'" in shown


def test_a_picture_opens_large_and_arrows_lead_to_the_next(page: Page) -> None:
    page.one(".picture").click()
    page.until(lambda: page.one("#lightbox").get_attribute("open") is not None, "it opens")
    assert page.text("#lightbox-caption") == "Picture 0 · turn 2 · Ana"

    page.one("#lightbox").send_keys("\ue014")

    assert page.text("#lightbox-caption") == "Picture 1 · turn 5 · Ben"


def test_topics_colour_every_turn(page: Page, gateway: StandIn) -> None:
    gateway.otherwise = split([[0, 1, 6], [2, 3, 4, 5]])

    page.tab("topics")
    page.wait_for("topics")

    colours = [row.get_attribute("data-topic") for row in page.all(".turn")]
    assert colours == ["0", "0", "1", "1", "1", "1", "0"]
    labels = [label.get_attribute("textContent") for label in page.all(".topic-label")]
    assert labels == ["Topic 1", "Topic 2", "Topic 1 again"]
    assert gateway.asked[0][0] == "/v1/fragments/split"
    assert page.complaints() == []
