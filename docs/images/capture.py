"""Takes the pictures of the documents: python docs/images/capture.py, while the demo's stack is up.

Find asks the sample queries that a picture answers until one is found well inside its dialogue;
Search and Collections show the sample corpus.
"""

import argparse
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

Browser = webdriver.Chrome

QUERY = "i need the turns about a second-hand reflecting pane for profit at moonlight store"
SETTLE_S = 1.0
PATIENCE_S = 120
ANSWERED = "#panel[data-kind=found], #panel[data-kind=nothing]"

_PICTURE_QUERIES = """
return [...document.querySelectorAll('.rail-item:not(.rail-own)')].flatMap((item, sample) => {
  item.click();
  return [...document.querySelectorAll('.chip')]
    .map((chip, place) => (chip.querySelector('svg') ? [sample, place] : null))
    .filter(Boolean);
});
"""
_ASK = """
document.querySelectorAll('.rail-item')[arguments[0]].click();
document.querySelectorAll('.chip')[arguments[1]].click();
"""
_SHOWS_WELL = """
const lit = [...document.querySelectorAll('.turn.lit')].map((row) => Number(row.id.slice(5)));
return document.querySelector('.ringed') !== null && lit[0] > 2 && lit.length < 8;
"""
# Other collections of this machine are nobody's business: they leave the rail.
_CHOOSE = """
const items = [...document.querySelectorAll('#collections li')]
  .filter((item) => !item.querySelector('.rail-new'));
const named = (item) => item.innerText.split('\\n')[0].trim() === arguments[0];
const chosen = items.find(named);
if (!chosen) return false;
chosen.querySelector('button').click();
[...document.querySelectorAll('#collections li')]
  .filter((item) => !item.querySelector('.rail-new') && !named(item))
  .forEach((item) => item.remove());
return true;
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8420/", help="with #token=… of `up`")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder")
    parser.add_argument("--only", choices=["find", "search", "collections"])
    parser.add_argument("--collection", default="samples")
    parser.add_argument("--query", default=QUERY)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    shots: dict[str, tuple[int, Callable[[Browser], None]]] = {
        "find": (1440, _find),
        "search": (1280, lambda b: _search(b, arguments.collection, arguments.query)),
        "collections": (1280, lambda b: _collections(b, arguments.collection)),
    }
    browser = Browser(options=_options(), service=Service(shutil.which("chromedriver")))
    try:
        for name, (width_pixels, show) in shots.items():
            if arguments.only in (None, name):
                _open(browser, arguments.url, width_pixels, dark=arguments.dark)
                show(browser)
                _save(browser, arguments.out / f"{name}.png")
    except TimeoutException as error:
        sys.stderr.write(f"capture: {error.msg}\n")
        return 1
    finally:
        browser.quit()
    return 0


def _options() -> Options:
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root
    return options


def _open(browser: Browser, url: str, width_pixels: int, *, dark: bool) -> None:
    large = width_pixels > 1280
    size = {
        "width": width_pixels,
        "height": 900 if large else 800,
        "deviceScaleFactor": 1.5 if large else 1,
    }
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size | {"mobile": False})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})
    browser.get("about:blank")
    browser.get(url)


def _find(browser: Browser) -> None:
    wait = WebDriverWait(browser, PATIENCE_S)
    queries = wait.until(
        lambda b: b.execute_script(_PICTURE_QUERIES), "no sample has a query about a picture"
    )
    for sample, place in [*queries, queries[0]]:
        browser.execute_script(_ASK, sample, place)
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ANSWERED), "nothing was answered")
        if browser.execute_script(_SHOWS_WELL):
            return


def _search(browser: Browser, collection: str, query: str) -> None:
    _choose(browser, "search", collection)
    browser.find_element(By.ID, "search-query").send_keys(query, Keys.ENTER)
    WebDriverWait(browser, PATIENCE_S).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".result-title"), "nothing was found"
    )


def _collections(browser: Browser, collection: str) -> None:
    _choose(browser, "collections", collection)
    WebDriverWait(browser, PATIENCE_S).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".row-id"), "nothing is in the collection"
    )


def _choose(browser: Browser, tab: str, collection: str) -> None:
    browser.find_element(By.ID, f"tab-{tab}").click()
    WebDriverWait(browser, PATIENCE_S).until(
        lambda b: b.execute_script(_CHOOSE, collection), f"there is no collection {collection}"
    )


def _save(browser: Browser, path: Path) -> None:
    WebDriverWait(browser, PATIENCE_S).until(
        lambda b: b.find_element(By.ID, "status-text").text == "Ready", "it is not ready"
    )
    browser.execute_script("document.activeElement.blur()")
    browser.execute_async_script(f"setTimeout(arguments[0], {SETTLE_S * 1000})")
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    image.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
