"""*Search* and *Collections* by what a user does and sees."""

import json
from collections.abc import Iterable
from typing import Any

from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.e2e.page.pages import Page

_DROP = """
const files = new DataTransfer();
files.items.add(new File([arguments[0]], arguments[1], {type: arguments[2]}));
document.querySelector('main').dispatchEvent(
  new DragEvent('drop', {dataTransfer: files, bubbles: true}));
"""
_DROP_PICTURE = """
const bytes = Uint8Array.from(atob(arguments[0].split(',')[1]), (c) => c.charCodeAt(0));
const files = new DataTransfer();
files.items.add(new File([bytes], 'kite.png', {type: 'image/png'}));
document.querySelector('main').dispatchEvent(
  new DragEvent('drop', {dataTransfer: files, bubbles: true}));
"""


def ndjson(dialogues: Iterable[Any]) -> str:
    return "".join(
        (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n"
        for one in dialogues
    )


def dialogue(name: str, *turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    utterances = [{"speaker": who, "content": what} for who, what in turns]
    return {"id": name, "utterances": utterances, **more}


class CorpusPage:
    """The two panes about collections of a page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, tab: str) -> None:
        self.page.tab(tab)
        pane = self.page.one(f"#{tab}-pane")
        self.page.until(lambda: pane.is_displayed() and self._settled(pane), f"{tab} is shown")

    def _settled(self, pane: WebElement) -> bool:
        return ".skeleton" not in str(pane.get_attribute("innerHTML")) and bool(pane.text)

    # Collections

    def create(self, name: str) -> None:
        self.open("collections")
        if not self.page.all("#new-name"):
            self.page.one(".rail-new").click()
        self.page.one("#new-name").send_keys(name, Keys.ENTER)
        self.page.until(lambda: self.title == name, "the collection is shown")

    @property
    def title(self) -> str:
        return "".join(self.page.texts("#collections-body .heading-title"))

    def drop_file(self, text: str, name: str = "chats.ndjson", kind: str = "") -> None:
        self.page.run(_DROP, text, name, kind)

    def drop_picture(self, url: str) -> None:
        self.page.run(_DROP_PICTURE, url)

    @property
    def jobs(self) -> list[str]:
        return self.page.texts(".job")

    def until_job_says(self, *words: str) -> None:
        self.page.until(
            lambda: any(all(word in job for word in words) for job in self.jobs),
            f"a job says {words}, and not {self.jobs}",
        )

    def press(self, label: str) -> None:
        """The button of a job that says so."""
        self.page.all(".job button")[self.page.texts(".job button").index(label)].click()

    @property
    def stored(self) -> list[str]:
        return self.page.texts(".row-id")

    def until_stored(self, *names: str) -> None:
        self.page.until(lambda: self.stored == list(names), f"{names} are listed")

    def open_stored(self, name: str) -> None:
        self.page.all(".row-open")[self.stored.index(name)].click()
        self.page.until(lambda: self.page.all("#collections-pane .turn"), "it is read")

    def confirm(self, typed: str = "") -> None:
        self.page.until(lambda: self.page.one("#confirm-dialog").is_displayed(), "it is asked")
        if typed:
            self.page.one("#confirm-field").send_keys(typed)
        self.page.one("#confirm-yes").click()

    # Search

    def search(self, query: str) -> None:
        field = self.page.one("#search-query")
        field.clear()
        field.send_keys(query, Keys.ENTER)

    def filter(self, name: str, value: str) -> None:
        if not self.page.one("#filters").is_displayed():
            self.page.one("#filter-toggle").click()
        self.page.one(f"#filter-{name}-input").send_keys(value, Keys.ENTER)

    @property
    def results(self) -> list[str]:
        return self.page.texts(".result")

    @property
    def titles(self) -> list[str]:
        return self.page.texts(".result-title")

    @property
    def lit(self) -> list[str]:
        return self.page.texts("#search-pane .turn.lit .bubble")
