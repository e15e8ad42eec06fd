"""Search and collections as the real gateway serves them, over doubles of what stands behind it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from colloquy.contracts.content import Utterance
from tests.doubles.front_stack import Front, running_front
from tests.doubles.gateway import PAGE_TOKEN, data_url, png
from tests.e2e.page.corpus_page import CorpusPage, dialogue, ndjson
from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import sample_dialogues

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "dialogues.json").write_text(json.dumps(sample_dialogues()), encoding="utf-8")
    with running_front(tmp_path, samples=samples) as running:
        yield running


def test_what_is_dropped_in_is_found_read_and_deleted(
    open_page: Callable[[str], Page], front: Front
) -> None:
    page = open_page(f"{front.url}/#token={PAGE_TOKEN}")
    corpus = CorpusPage(page)
    turns = [{"type": "image_url", "image_url": {"url": data_url(png())}}]
    kite = dialogue("a/kite ?", ("Ana", "look at the kite"), ("Ben", turns))
    wrong = dialogue("no-words", ("Ana", 3))
    front.indexer.busy = 2

    corpus.create("family")
    corpus.drop_file(ndjson([kite, wrong]))
    corpus.until_job_says("chats.ndjson", "done", "1 of 2 indexed", "item 1", "line 2", "no-words")
    corpus.until_stored("a/kite ?")
    corpus.open_stored("a/kite ?")
    page.until(lambda: page.all("#collections-pane .picture img"), "its picture is there")
    stored = page.run("return document.querySelector('#collections-pane .picture img').src")
    assert stored.startswith("blob:http")

    front.retriever.keep("a/kite ?", [Utterance(id=0, speaker="Ana", content="look at the kite")])
    corpus.open("search")
    page.one("#search-refine").click()
    corpus.search("the kite")
    page.wait_for("found")
    assert corpus.titles == ["a/kite ?"]
    page.one(".result-open").click()
    page.until(lambda: corpus.lit == ["look at the kite"], "it is lit in its dialogue")

    corpus.open("collections")
    corpus.until_stored("a/kite ?")
    page.one(".row-delete").click()
    corpus.confirm()
    page.until(lambda: not corpus.stored, "it is gone")
    page.one("#drop-collection").click()
    corpus.confirm("family")
    page.until(lambda: corpus.title == "The first collection", "there is none any more")
    assert front.indexer.collections == {}
    assert page.complaints() == []


def test_a_file_in_which_nothing_is_right_is_refused_with_every_place(
    open_page: Callable[[str], Page], front: Front
) -> None:
    corpus = CorpusPage(open_page(f"{front.url}/#token={PAGE_TOKEN}"))
    corpus.create("family")

    corpus.drop_file(ndjson([dialogue("a", ("Ana", 3)), dialogue(".", ("Ana", "hello"))]))

    corpus.until_job_says("0/utterances/0/content", "1/id", "cannot be a place in a path")
    assert corpus.page.complaints(expected_status=422) == []
