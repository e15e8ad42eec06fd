"""The page by what a user does and sees, so that tests do not speak of selectors."""

from collections.abc import Callable
from typing import Any

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait


class Page:
    """One tab that shows the console."""

    def __init__(self, driver: WebDriver, url: str, *, patience_s: float = 30.0) -> None:
        self.driver = driver
        self._wait = WebDriverWait(
            driver, patience_s, poll_frequency=0.05,
            ignored_exceptions=[NoSuchElementException, StaleElementReferenceException],
        )  # fmt: skip
        driver.get(url)
        self.until(lambda: self.all(".rail-own"), "the dialogues are listed")

    def until(self, happened: Callable[[], Any], what: str) -> Any:
        return self._wait.until(lambda _: happened(), f"it did not happen that {what}")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def choose(self, title: str) -> None:
        [item] = [item for item in self.all(".rail-item") if title in item.text]
        item.click()

    def choose_at(self, place: int) -> None:
        self.all(".rail-item")[place].click()

    def tab(self, name: str) -> None:
        self.one(f"#tab-{name}").click()

    @property
    def queries(self) -> list[str]:
        return [chip.text for chip in self.all(".chip")]

    def click_query(self, text: str) -> None:
        [chip] = [chip for chip in self.all(".chip") if chip.text == text]
        chip.click()

    def ask(self, query: str) -> None:
        field = self.one("#query")
        field.clear()
        field.send_keys(query, Keys.ENTER)

    @property
    def kind(self) -> str:
        """What the panel shows: idle, running, waiting, found, nothing, topics, failed."""
        return self.one("#panel").get_attribute("data-kind") or ""

    def wait_for(self, kind: str) -> None:
        self.until(lambda: self.kind == kind, f"the panel shows `{kind}`")

    @property
    def panel(self) -> str:
        return self.text("#panel-body")

    def text(self, selector: str) -> str:
        """As rendered, also while it fades in (WebDriver's own text is empty until then)."""
        texts = self.texts(selector)  # an element found first may be replaced before it is read
        if not texts:
            raise NoSuchElementException(selector)
        return texts[0]

    def texts(self, selector: str) -> list[str]:
        """Of everything that matches, in one look: nothing is replaced in between."""
        script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.innerText)"
        return [str(text).replace("\u00a0", " ") for text in self.run(script, selector)]

    @property
    def turns(self) -> list[str]:
        return [turn.text for turn in self.all(".turn")]

    @property
    def lit(self) -> list[int]:
        return [_turn_id(turn) for turn in self.all(".turn.lit")]

    @property
    def listed(self) -> list[int]:
        return [int(n.get_attribute("textContent") or -1) for n in self.all(".hit .hit-number")]

    @property
    def ringed(self) -> list[int]:
        return [int(frame.get_attribute("data-image") or -1) for frame in self.all(".ringed")]

    def opacity(self, turn: int) -> float:
        return float(self.one(f"#turn-{turn}").value_of_css_property("opacity"))

    def in_sight(self, turn: int) -> bool:
        """Whether a turn is inside the part of the conversation that can be seen."""
        return bool(
            self.driver.execute_script(  # type: ignore[no-untyped-call]
                "const row = document.getElementById(arguments[0]).getBoundingClientRect();"
                "const pane = document.getElementById('scroller').getBoundingClientRect();"
                "return row.top >= pane.top - 1 && row.bottom <= pane.bottom + 1;",
                f"turn-{turn}",
            )
        )

    def write_own(self, text: str) -> None:
        """Opens the editor and pastes a dialogue into it; `show_own` shows it."""
        self.one(".rail-own").click()
        self.until(lambda: self.one("#editor-text").is_displayed(), "the editor opens")
        self.run("const t = document.getElementById('editor-text'); t.value = arguments[0]", text)

    def show_own(self) -> None:
        self.one("#editor button[type=submit]").click()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)  # type: ignore[no-untyped-call]

    def complaints(self, *, expected_status: int | None = None) -> list[str]:
        """What the browser's console holds, less the failed loads of one expected status.

        Chromium itself logs every answer of 400 and more; that is no fault of the page's.
        """
        expected = f"the server responded with a status of {expected_status} "
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["source"] != "network" or expected not in entry["message"]
        ]


def _turn_id(turn: WebElement) -> int:
    return int((turn.get_attribute("id") or "").removeprefix("turn-"))
