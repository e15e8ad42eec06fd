"""Takes the picture of the README: python docs/images/capture.py, while a stack is up.

It asks the sample queries that a picture answers until one is found well inside its dialogue.
"""

import argparse
import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WIDTH_PIXELS, HEIGHT_PIXELS, SCALE = 1440, 900, 1.5
SETTLE_S = 1.0
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8420/")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("find.png"))
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    browser = webdriver.Chrome(options=_options(), service=Service(shutil.which("chromedriver")))
    try:
        data = _capture(browser, arguments.url, dark=arguments.dark)
    except TimeoutException as error:
        sys.stderr.write(f"capture: {error.msg}\n")
        return 1
    finally:
        browser.quit()
    Image.open(io.BytesIO(data)).convert("RGB").save(arguments.out, optimize=True)
    return 0


def _options() -> Options:
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root
    return options


def _capture(browser: webdriver.Chrome, url: str, *, dark: bool) -> bytes:
    size = {"width": WIDTH_PIXELS, "height": HEIGHT_PIXELS, "deviceScaleFactor": SCALE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size | {"mobile": False})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})
    browser.get(url)
    wait = WebDriverWait(browser, 120)
    queries = wait.until(
        lambda b: b.execute_script(_PICTURE_QUERIES), "no sample has a query about a picture"
    )
    for sample, place in [*queries, queries[0]]:
        browser.execute_script(_ASK, sample, place)
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ANSWERED), "nothing was answered")
        if browser.execute_script(_SHOWS_WELL):
            break
    wait.until(lambda b: b.find_element(By.ID, "status-text").text == "Ready", "it is not ready")
    browser.execute_script("document.activeElement.blur()")
    browser.execute_async_script(f"setTimeout(arguments[0], {SETTLE_S * 1000})")
    return browser.get_screenshot_as_png()


if __name__ == "__main__":
    sys.exit(main())
