"""*Search* over a collection in a real Chromium."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.doubles.page_replies import problem
from tests.e2e.page.corpus_page import CorpusPage
from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import StandIn, picture

pytestmark = pytest.mark.browser


@pytest.fixture
def searching(family: CorpusPage) -> CorpusPage:
    family.open("search")
    family.page.until(lambda: family.page.one("#search-query").is_displayed(), "it can be asked")
    return family


def test_fragments_come_as_cards_with_their_scores(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    searching.search("cake for grandma")
    page.wait_for("found")

    assert searching.titles == ["cake", "cabin"]
    assert gateway.corpus.searched == [
        {"query": "cake for grandma", "top_k": 5, "refine": True, "collection": "family"}
    ]
    for words in ("turns 3–4", "the cake for grandma", "with walnuts", "0.80", "0.95", "1.75"):
        assert words in searching.results[0]
    shares = page.run(
        "return [...document.querySelectorAll('.result:first-child .score-final .meter-fill')]"
        ".map((fill) => fill.style.width)"
    )
    assert [round(float(share.removesuffix("%"))) for share in shares] == [100, 52]
    for words in ("2 fragments in 2 dialogues", "166 ms", "Reading the scores", "weighted rerank"):
        assert words in page.panel
    page.one(".call summary").click()
    assert page.text(".call-text").startswith(f"curl -sS {gateway.url}v1/fragments/search")
    assert page.complaints() == []


def test_without_reranking_the_scores_say_so(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    page.one("#search-rerank").send_keys("none")
    page.one("#search-refine").click()
    page.one("#search-top").send_keys("10")

    searching.search("cake")
    page.wait_for("found")

    asked = gateway.corpus.searched[0]
    assert (asked["rerank"], asked["refine"], asked["top_k"]) == ("none", False, 10)
    assert "Rerank\n–" in searching.results[0]
    assert "0.040" in searching.results[0]
    assert "only the order counts" in page.panel


def test_filters_narrow_the_search_and_can_be_taken_away(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    searching.filter("speaker", "Cleo")
    searching.filter("speaker", "Dora")
    searching.search("cake")
    page.until(lambda: searching.titles == ["cabin"], "only what she said is found")
    assert page.text("#filter-count") == "1"
    page.one("#filter-speaker-input").send_keys(Keys.BACKSPACE, Keys.BACKSPACE)
    searching.filter("metadata", "year=2026")
    searching.filter("dialogue", "kites")
    page.run("document.getElementById('filter-after').value = '2026-03-01T10:00'")
    searching.search("cake")
    page.wait_for("nothing")

    assert gateway.corpus.searched[0]["filter"] == {"speaker": ["Cleo", "Dora"]}
    after = page.run("return new Date('2026-03-01T10:00').toISOString()")
    assert gateway.corpus.searched[1]["filter"] == {
        "dialogue_id": ["kites"],
        "after": after,
        "metadata": {"year": ["2026", 2026]},
    }
    assert "Nothing in family answers that." in page.text("#results")
    [unfiltered, _] = page.all(".empty-actions button")
    unfiltered.click()
    page.wait_for("found")
    assert "filter" not in gateway.corpus.searched[2]


def test_a_filter_that_is_none_is_not_sent(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    searching.filter("metadata", "kites")

    searching.search("cake")

    assert "key=value" in page.text("#filter-metadata .field-fault")
    assert gateway.corpus.searched == []


def test_a_dropped_picture_is_searched_by(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    searching.drop_picture(picture(1, 2, 3))
    page.until(lambda: page.all(".query-thumb"), "the picture is in the query")
    page.one("#search-button").click()
    page.until(lambda: searching.titles == ["kites"], "what has a picture is found")

    assert gateway.corpus.searched[0]["query_image"] == {"url": picture(1, 2, 3)}
    assert "query" not in gateway.corpus.searched[0]
    page.until(lambda: page.all(".line-picture img"), "its picture is shown")
    page.one(".line-picture").click()
    page.until(lambda: page.one("#lightbox").get_attribute("open") is not None, "it opens large")
    page.one("#lightbox-close").click()
    page.one("#query-picture .token-remove").click()
    assert not page.all(".query-thumb")
    assert page.complaints() == []


def test_a_fragment_lights_up_in_its_dialogue_and_the_way_leads_back(
    page: Page, searching: CorpusPage
) -> None:
    searching.search("cake for grandma")
    page.wait_for("found")

    page.one(".result-open").click()
    page.until(lambda: searching.lit == ["the cake for grandma", "with walnuts"], "it is lit")
    assert len(page.all("#search-pane .turn")) == 5
    assert "2 turns" in page.panel
    page.tab("collections")
    page.tab("search")
    page.until(lambda: "2 turns" in page.panel, "it is still read")
    page.one("#search-pane .reader-back").click()

    assert searching.titles == ["cake", "cabin"]
    assert "2 fragments in 2 dialogues" in page.panel


def test_a_dialogue_that_is_gone_meanwhile_is_named_as_that(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    searching.search("grandma")
    page.wait_for("found")
    gateway.corpus.delete("family", "cake")

    page.one(".result-open").click()

    page.until(lambda: "No such dialogue" in page.text("#search-pane .reader"), "it is said")


def test_what_was_left_out_is_said_in_words(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    gateway.corpus.degraded = ["rerank-partial", "retrieve-lamra", "something-new"]

    searching.search("cake")
    page.wait_for("found")

    note = page.text("#results .note")
    for words in ("Time ran out while reranking", "lamra", "Left out or cut short: something-new"):
        assert words in note


def test_a_refused_search_says_where_and_why_and_keeps_what_was_asked(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    fault = {"at": "body/filter/after", "why": "Input should be a valid datetime"}
    gateway.corpus_replies.append(
        problem(422, "invalid-request", "The request is not valid", "One field.", faults=[fault])
    )
    searching.search("cake")
    page.wait_for("failed")

    shown = page.text("#results")
    for words in ("The request is not valid", "One field.", "filter/after", "valid datetime"):
        assert words in shown
    assert "422 invalid-request" in page.panel
    page.one("#results .card-actions button").click()
    page.wait_for("found")
    assert page.complaints(expected_status=422) == []


def test_another_collection_lets_go_of_what_was_found_in_the_one_before(
    page: Page, searching: CorpusPage, gateway: StandIn
) -> None:
    gateway.corpus.put("work", {})
    page.tab("find")
    searching.open("search")
    page.until(lambda: len(page.all("#collections .rail-item")) == 3, "both are listed")
    searching.search("cake")
    page.wait_for("found")

    page.one("#collections [data-name=work]").click()

    assert page.kind == "idle"
    assert "Search in work" in page.text("#results")
    page.tab("find")
    assert page.one("#find-form").is_displayed()


def test_nothing_is_cut_off_at_the_width_of_a_small_phone(
    page: Page, searching: CorpusPage
) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        searching.search("cake for grandma")
        page.wait_for("found")
        for tab in ("search", "collections"):
            searching.open(tab)
            wide = page.run(
                "return [...document.querySelectorAll('.top *, main *')].filter((node) =>"
                " node.checkVisibility() && node.getBoundingClientRect().right > 361"
                " && !node.closest('.visually-hidden')).map((node) => node.className)"
            )
            assert wide == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
