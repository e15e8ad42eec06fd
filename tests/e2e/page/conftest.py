"""A real Chromium, and the page in it as a user sees it."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.doubles.page_items import NDJSON
from tests.e2e.page.corpus_page import CorpusPage, dialogue, ndjson
from tests.e2e.page.pages import Page
from tests.e2e.page.stand_in import StandIn, picture, serve


@pytest.fixture(scope="session")
def chromium() -> Iterator[WebDriver]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs chromium and chromedriver on the path")
    options = Options()
    options.binary_location = binary
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root
    options.add_argument("--window-size=1440,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def open_page(chromium: WebDriver) -> Callable[[str], Page]:
    """Opens an address in a page that starts from nothing; what earlier tests logged is gone."""

    def opened(url: str) -> Page:
        chromium.get("about:blank")
        chromium.get_log("browser")  # type: ignore[no-untyped-call]
        return Page(chromium, url)

    return opened


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    with serve() as stand_in:
        yield stand_in


@pytest.fixture
def page(open_page: Callable[[str], Page], gateway: StandIn) -> Page:
    return open_page(gateway.url)


@pytest.fixture
def corpus(page: Page) -> CorpusPage:
    return CorpusPage(page)


@pytest.fixture
def family(corpus: CorpusPage, gateway: StandIn) -> CorpusPage:
    """With a collection `family` of three dialogues, one with a picture."""
    kites = dialogue(
        "kites",
        ("小明", "周末去放风筝吗?"),
        ("小红", [{"type": "image_url", "image_url": {"url": picture(200, 40, 40)}}]),
        metadata={"shop": "kites", "year": 2026},
    )
    cake = dialogue(
        "cake",
        ("Ana", "Good morning"),
        ("Ben", "Morning!"),
        ("Ana", "Hm"),
        ("Ana", "the cake for grandma"),
        ("Ben", "with walnuts"),
    )
    cabin = dialogue("cabin", ("Cleo", "a cabin, and cake on Sunday"), ("Ana", "the whole week"))
    gateway.corpus.put("family", {})
    gateway.corpus.ingest("family", ndjson([kites, cake, cabin]).encode(), NDJSON, None)
    gateway.corpus.received.clear()
    return corpus
