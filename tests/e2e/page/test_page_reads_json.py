"""The page's own JSON reader, which names places, agrees with the browser's."""

import json
import random

import pytest

from tests.e2e.page.pages import Page

pytestmark = pytest.mark.browser

SEEDS = range(400)
PIECES = ['"', "\\", ",", ":", "{", "}", "[", "]", "\n", "1", "-", ".", "e", "null", "\\u00e9", "é"]
COMPARE = """
const [texts, done] = arguments;
import('./js/json_places.js').then(({parseJson}) => {
  const read = (parse, text) => {
    try { return JSON.stringify(parse(text)); } catch (error) { return 'refused'; }
  };
  done(texts.filter((text) =>
    read(JSON.parse, text) !== read((one) => parseJson(one).value, text)));
});
"""
PLACES = """
const [text, done] = arguments;
import('./js/json_places.js').then(({parseJson}) => done(
  [...parseJson(text).places].map(([path, offset]) => [path, text.slice(offset, offset + 3)])));
"""


def test_it_accepts_and_refuses_what_json_parse_does(page: Page) -> None:
    texts = [_text(random.Random(seed)) for seed in SEEDS]

    page.driver.set_script_timeout(30)
    different = page.driver.execute_async_script(COMPARE, texts)  # type: ignore[no-untyped-call]

    assert different == []


def test_it_knows_where_everything_stands(page: Page) -> None:
    text = '{"a": [10, {"b": "xyz"}],\n "c": true}'

    places = page.driver.execute_async_script(PLACES, text)  # type: ignore[no-untyped-call]

    assert dict(places) == {
        "": '{"a',
        "a": "[10",
        "a/0": "10,",
        "a/1": '{"b',
        "a/1/b": '"xy',
        "c": "tru",
    }


def _text(rng: random.Random) -> str:
    """JSON that is right, or has one piece too many or one character too few."""
    text = json.dumps(_value(rng, 3), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    at = rng.randrange(len(text) + 1)
    kind = rng.random()
    if kind < 0.3:
        return text
    if kind < 0.7:
        return text[:at] + rng.choice(PIECES) + text[at:]
    return text[:at] + text[at + 1 :]


def _value(rng: random.Random, depth: int) -> object:
    if depth and rng.random() < 0.6:
        if rng.random() < 0.5:
            return [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
        names = ["speaker", "__proto__", 'a "quote"', "back\\slash", ""]
        return {rng.choice(names): _value(rng, depth - 1) for _ in range(rng.randrange(4))}
    return rng.choice([None, True, 0, -1.5, 1e21, "", "text", 'q"q', "\\", "\n\t", "😀", "\x7f"])
