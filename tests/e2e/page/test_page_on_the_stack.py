"""The page on everything there is: samples, gateway, generator, a real engine."""

from collections.abc import Callable

import pytest

from tests.e2e.local_stack import LocalStack
from tests.e2e.page.pages import Page

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

BROKEN = (
    '{"utterances": [{"speaker": "Ana", "content": [{"type": "image_url", '
    '"image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]}'
)


def test_a_newcomer_finds_text_and_picture_and_recovers_from_a_bad_dialogue(
    open_page: Callable[[str], Page], stack: LocalStack
) -> None:
    page = open_page(stack.page_url)
    assert "#token" not in page.driver.current_url
    page.until(lambda: page.one("#status-text").text == "Ready", "the stack is ready")

    # A suggested query of text: the fragment lights up in place.
    text, picture = _suggested(page, by_picture=False), _suggested(page, by_picture=True)
    page.choose_at(text[0])
    page.click_query(text[1])
    page.wait_for("found")
    assert page.lit
    assert page.lit == page.listed
    page.until(lambda: page.in_sight(page.lit[0]), "the fragment is in sight")
    assert "fragment@" in page.panel

    # One that only a picture answers: the picture is ringed.
    page.choose_at(picture[0])
    page.click_query(picture[1])
    page.wait_for("found")
    assert page.ringed

    page.tab("topics")
    page.wait_for("topics")
    assert all(row.get_attribute("data-topic") for row in page.all(".turn"))
    page.tab("find")
    assert page.complaints() == []

    # A dialogue with a picture that is none: a card, and the next search works.
    page.write_own(BROKEN)
    page.show_own()
    page.ask("a picture")
    page.wait_for("failed")
    assert "turn 0" in page.panel
    assert page.complaints(expected_status=422) == []
    page.choose_at(text[0])
    page.click_query(text[1])
    page.wait_for("found")
    assert page.complaints() == []


def _suggested(page: Page, *, by_picture: bool) -> tuple[int, str]:
    """The first sample with a query that a text, or a picture, answers; and the query."""
    for place in range(len(page.all(".rail-item")) - 1):
        page.choose_at(place)
        for chip in page.all(".chip"):
            if bool(chip.get_attribute("title")) == by_picture:
                return place, chip.text
    raise AssertionError("no sample has such a query")
