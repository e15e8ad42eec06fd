"""A dialogue of one's own: read forgivingly, faults named by their place, nothing lost."""

import json

import pytest

from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import StandIn, picture

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('{"utterances": [\n  {"speaker": "a" "content": "b"}\n]}', "line 2, column 19", "comma"),
        ('{"utterances": [\n  {"content": "b"}\n]}', "line 2, utterances/0", "speaker is missing"),
        ('{"utterances": []}', "line 1, utterances", "no turns"),
        ('[{"speaker": "a",\n"content": 3}]', "line 2, utterances/0/content", "a text or a list"),
        ('{"utterances": [', "line 1", "ends too early"),
        ("just words\na: b", "line 1", "name: text"),
        ("a: look [picture 4]", "line 1", "no picture 4"),
        ("", "", "nothing here"),
    ],
)
def test_a_dialogue_that_cannot_be_read_says_where_and_keeps_the_text(
    page: Page, text: str, place: str, why: str
) -> None:
    # An empty editor shows its example instead of a fault, so blanks stand for nothing.
    page.write_own(text or "  ")
    page.show_own()

    shown = page.one("#editor-faults").text
    assert place in shown
    assert why in shown
    assert page.one("#editor-text").get_attribute("value") == (text or "  ")


def test_lines_of_text_become_turns(page: Page, gateway: StandIn) -> None:
    page.write_own(
        "小明：去哪里?\n小红: 河边\n  (很近)\n\nAna: see https://example.org/x: nice\n10:30 it is"
    )
    page.show_own()
    page.ask("where")
    page.wait_for("nothing")

    [(_, body)] = gateway.asked
    assert body["dialogue"]["utterances"] == [
        {"id": 0, "speaker": "小明", "content": "去哪里?"},
        {"id": 1, "speaker": "小红", "content": "河边\n(很近)"},
        {"id": 2, "speaker": "Ana", "content": "see https://example.org/x: nice\n10:30 it is"},
    ]
    assert page.complaints() == []


def test_a_request_of_the_api_brings_its_query_along(page: Page) -> None:
    turns = [{"speaker": "Ana", "content": [{"type": "text", "text": "hi"}]}]
    page.write_own(json.dumps({"query": "who is there?", "dialogue": {"utterances": turns}}))
    page.show_own()

    assert page.one("#query").get_attribute("value") == "who is there?"
    assert len(page.turns) == 1


def test_a_dropped_picture_stands_where_the_cursor_was(page: Page, gateway: StandIn) -> None:
    page.write_own("Ana: look ")
    page.run(
        """
        const [url, field] = [arguments[0], document.getElementById('editor-text')];
        field.setSelectionRange(field.value.length, field.value.length);
        const bytes = Uint8Array.from(atob(url.split(',')[1]), (c) => c.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], 'kite.png', {type: 'image/png'}));
        field.dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true}));
        """,
        picture(1, 2, 3),
    )
    page.until(
        lambda: page.one("#editor-text").get_attribute("value") == "Ana: look [picture 1]",
        "the picture has its place",
    )
    page.show_own()
    page.ask("a kite")
    page.wait_for("nothing")

    [turn] = gateway.asked[0][1]["dialogue"]["utterances"]
    assert turn["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": picture(1, 2, 3)}},
    ]


def test_what_was_typed_survives_a_look_at_a_sample_and_a_reload(page: Page) -> None:
    page.write_own("")
    page.one("#editor-text").send_keys("Ana: hello")
    page.choose("A cabin and a market")
    page.driver.refresh()
    page.until(lambda: page.all(".rail-own"), "the page is there again")
    page.one(".rail-own").click()

    assert page.one("#editor-text").get_attribute("value") == "Ana: hello"


def test_data_never_becomes_markup_and_nothing_is_fetched_from_elsewhere(
    page: Page, gateway: StandIn
) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    urls = [
        "https://example.org/p.png",
        "javascript:alert(3)",
        "data:text/html,<script>alert(4)</script>",
        "data:image/svg+xml,<svg onload='alert(5)'/>",
        "data:image/png;base64,broken",
    ]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    turns = [{"speaker": evil, "content": evil}, {"speaker": "b", "content": parts}]
    page.write_own(json.dumps({"title": evil, "utterances": turns}))
    page.show_own()
    page.ask(evil)
    page.wait_for("nothing")

    assert evil in page.turns[0]
    page.until(lambda: len(page.all(".picture-missing")) == len(urls), "none can be shown")
    assert page.run("return document.querySelectorAll('#turns img, #turns script').length") == 0
    assert page.complaints() == []
