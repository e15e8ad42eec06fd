"""*Collections* in a real Chromium: made, filled, watched, read, and gone again."""

import json
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.doubles.page_replies import problem
from tests.e2e.page.corpus_page import CorpusPage, dialogue, ndjson
from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import StandIn

pytestmark = pytest.mark.browser

TWO = [dialogue("d-1", ("Ana", "a cake")), dialogue("d-2", ("Ben", "a kite"))]


def test_a_dropped_file_is_followed_until_it_is_searchable(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    gateway.corpus.at_once = False
    corpus.create("family")
    wrong = [dialogue("no-words", ("Ana", 3)), '{"id": "cut']

    corpus.drop_file(ndjson([TWO[0], *wrong, TWO[1]]))
    corpus.until_job_says("chats.ndjson", "waiting", "0 of 4 indexed", "2 failed")
    gateway.corpus.work(gateway.corpus.unfinished(), 1)
    corpus.until_job_says("indexing", "1 of 4 indexed", "about 2 s left")
    page.one(".call summary").click()
    page.until(lambda: "1 pending" in page.text("#collections .rail-facts"), "it is counted")
    assert page.one(".call").get_attribute("open") is not None
    gateway.corpus.work(gateway.corpus.unfinished(), 1)
    corpus.until_job_says("done", "2 of 4 indexed")

    corpus.until_stored("d-1", "d-2")
    first, second = page.texts(".job-error")
    for words in ("item 1", "line 2", "no-words", "utterances/0/content", "a list of content"):
        assert words in first
    for words in ("item 2", "line 3", "Invalid JSON"):
        assert words in second
    assert "2 dialogues · 2 fragments" in page.text("#collections-body .heading-facts")
    assert gateway.corpus.received[0][0] == "application/x-ndjson"
    assert page.complaints() == []


def test_a_file_that_is_dropped_first_gives_the_collection_its_name(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    corpus.open("search")
    assert "There is no collection yet" in page.text("#results")

    corpus.drop_file(json.dumps(TWO, indent=1), "Our chats (2).json", "application/json")
    page.until(lambda: page.all("#new-name"), "a name is asked for")
    assert page.one("#new-name").get_attribute("value") == "Our-chats-2"
    page.one("#new-collection button[type=submit]").click()
    corpus.until_job_says("Our chats (2).json", "done", "2 of 2 indexed")

    assert gateway.corpus.received[0][0] == "application/json"
    assert list(gateway.corpus.collections) == ["Our-chats-2"]


def test_the_same_file_again_is_known_by_its_content(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    corpus.create("family")
    corpus.drop_file(ndjson(TWO))
    corpus.until_job_says("done", "2 of 2")

    corpus.drop_file(ndjson(TWO), "renamed.ndjson")
    corpus.until_job_says("renamed.ndjson", "nothing was sent twice")
    corpus.press("Take it in again")
    page.until(lambda: len(gateway.corpus.jobs("family").jobs) == 2, "it is taken in again")

    first, second, third = [key for _, key in gateway.corpus.received]
    assert first == second != third


def test_a_job_can_be_cancelled(page: Page, corpus: CorpusPage, gateway: StandIn) -> None:
    gateway.corpus.at_once = False
    corpus.create("family")
    corpus.drop_file(ndjson(TWO))
    corpus.until_job_says("0 of 2")
    gateway.corpus.work(gateway.corpus.unfinished(), 1)

    corpus.until_job_says("1 of 2")
    page.one(".job-actions button").click()

    corpus.until_job_says("cancelled", "1 of 2 indexed", "1 cancelled")
    corpus.until_stored("d-1")


def test_a_stream_that_breaks_off_is_taken_up_again(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    gateway.corpus.at_once = False
    gateway.corpus.cut_streams = 1
    corpus.create("family")
    corpus.drop_file(ndjson(TWO))
    corpus.until_job_says("0 of 2")
    page.until(lambda: gateway.corpus.cut_streams == 0, "the stream has broken off")

    gateway.corpus.work(gateway.corpus.unfinished(), 2)

    corpus.until_job_says("done", "2 of 2")


def test_a_dialogue_is_read_and_deleted_only_when_that_is_confirmed(
    page: Page, family: CorpusPage, gateway: StandIn
) -> None:
    family.open("collections")
    family.until_stored("cabin", "cake", "kites")
    family.open_stored("kites")
    page.until(lambda: page.all("#collections-pane .picture img"), "its picture is there")
    assert "turns 0–1" in page.panel
    assert "year" in page.panel

    page.one(".reader-actions button").click()
    page.one("#confirm-no").click()
    assert "kites" in gateway.corpus.collections["family"].dialogues
    page.one(".reader-actions button").click()
    family.confirm()

    family.until_stored("cabin", "cake")
    page.until(lambda: page.text("#collections .rail-facts") == "2 dialogues", "it is counted")
    assert page.complaints() == []


def test_many_dialogues_come_a_page_at_a_time(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    gateway.corpus.put("many", {})
    names = [f"d-{number:02}" for number in range(45)]
    body = ndjson(dialogue(name, ("Ana", "hello")) for name in names)
    gateway.corpus.ingest("many", body.encode(), "application/x-ndjson", None)
    corpus.open("collections")
    corpus.until_stored(*names[:20])
    assert page.text(".rows-where") == "1–20 of 45"

    [back, forth] = page.all(".pager button")
    assert not back.is_enabled()
    forth.click()
    corpus.until_stored(*names[20:40])
    forth.click()
    corpus.until_stored(*names[40:])
    assert not forth.is_enabled()
    back.click()

    corpus.until_stored(*names[20:40])


def test_a_collection_is_dropped_only_when_its_name_is_typed(
    page: Page, family: CorpusPage, gateway: StandIn
) -> None:
    family.open("collections")
    page.one("#drop-collection").click()
    page.one("#confirm-field").send_keys("famil")
    assert not page.one("#confirm-yes").is_enabled()
    page.one("#confirm-field").send_keys(Keys.ENTER)
    assert "family" in gateway.corpus.collections

    family.confirm("y")

    page.until(lambda: family.title == "The first collection", "there is none any more")
    assert gateway.corpus.collections == {}


def test_what_a_collection_cannot_be_called_is_said_at_once(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    corpus.open("collections")

    page.one("#new-name").send_keys("../etc", Keys.ENTER)

    assert "the first a letter or digit" in page.text("#new-collection [role=alert]")
    assert gateway.corpus.collections == {}


def test_a_refused_file_is_a_card_with_place_and_reason_and_can_be_tried_again(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    corpus.create("family")

    corpus.drop_file(ndjson([dialogue("empty")]))
    corpus.until_job_says("Nothing of this file was taken in.", "0/utterances", "at least 1 item")
    gateway.corpus_replies.append(
        problem(507, "disk-full", "The disk is full", "Nothing was kept.")
    )
    corpus.drop_file(ndjson(TWO), "later.ndjson")
    corpus.until_job_says("later.ndjson", "The disk is full", "Nothing was kept.")
    page.one(".job-actions button").click()

    corpus.until_job_says("later.ndjson", "done", "2 of 2")


def test_collections_that_cannot_be_listed_are_an_error_and_not_an_empty_page(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    gateway.key = "cq_1_secret"
    page.tab("collections")
    page.until(lambda: page.one("#key-dialog").is_displayed(), "a key is asked for")

    page.one("#key-cancel").click()
    page.wait_for("failed")

    assert "A key is needed" in page.text("#collections-body")
    gateway.key = None
    page.one("#collections-body .card-actions button").click()
    page.until(lambda: corpus.title == "The first collection", "it is tried again")


def test_no_text_of_a_dialogue_or_error_becomes_markup(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    hostile = dialogue(evil, (evil, f"{evil} cake"), metadata={evil: evil}, acl=[evil])
    wrong = {"id": f"{evil}2", "utterances": [{"speaker": "a", "content": "b", evil: 1}]}
    corpus.create("family")
    corpus.drop_file(ndjson([hostile, wrong]), f"{evil}.ndjson")
    corpus.until_job_says(f"{evil}.ndjson", "1 of 2", f"{evil}2", f"utterances/0/{evil}")
    corpus.until_stored(evil)
    corpus.open_stored(evil)
    assert evil in page.panel
    page.one("#collections-pane .reader-back").click()
    corpus.open("search")
    corpus.filter("speaker", evil)
    corpus.search("cake")
    page.wait_for("found")

    assert evil in corpus.results[0]
    assert page.run("return document.querySelectorAll('img[src=x], main script').length") == 0
    assert page.complaints() == []


def test_a_dialogue_whose_id_would_walk_up_an_address_deletes_nothing_else(
    page: Page, corpus: CorpusPage, gateway: StandIn
) -> None:
    corpus.create("family")
    corpus.drop_file(ndjson([dialogue("..", ("Ana", "hello"))]))
    corpus.until_stored("..")

    page.one(".row-delete").click()
    corpus.confirm()

    page.until(lambda: "cannot be in an address" in page.text("#collections-body"), "it is said")
    assert "family" in gateway.corpus.collections


def test_the_keyboard_alone_is_enough(
    page: Page, corpus: CorpusPage, gateway: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "chats.ndjson"
    file.write_text(ndjson(TWO))

    def press(*what: str) -> None:
        ActionChains(page.driver).send_keys(*what).perform()

    def focused() -> str:
        return str(page.run("return document.activeElement.id || document.activeElement.className"))

    page.one("#tab-find").send_keys(Keys.ARROW_LEFT)
    page.until(lambda: focused() == "new-name", "the name has focus")
    press("family", Keys.ENTER)
    page.until(lambda: focused() == "choose-file", "the next thing to do has focus")
    page.one("#ingest-file").send_keys(str(file))  # the chooser itself is the browser's
    corpus.until_job_says("2 of 2")
    page.one("#tab-collections").send_keys(Keys.ARROW_LEFT)
    page.until(lambda: page.one("#search-query").is_displayed(), "the search is shown")
    press("/")
    assert focused() == "search-query"
    press("kite", Keys.ENTER)
    page.until(lambda: corpus.titles == ["d-2"], "it is found")
    while "result-open" not in focused():
        press(Keys.TAB)
    press(Keys.ENTER)
    page.until(lambda: corpus.lit == ["a kite"], "it is shown in its dialogue")
    press(Keys.ESCAPE)
    page.until(lambda: "result-open" in focused(), "focus is back where it was")
