"""Writes queries: facets in words that dialogues do not use, but the literal ones."""

import random
from collections.abc import Sequence

from training.data.world import lexicon
from training.data.world.facets import Facet, Facets, Told, spoken
from training.data.world.facts import Split, held_out
from training.data.world.lexicon import LANGUAGES, Language

NOVEL_FRAMES = 0.4  # share of held-out queries in a wording that training never shows

# How a facet is added: before the thing asked about in Chinese, behind it in English.
_ADDED: dict[Language, dict[Facet, tuple[str, ...]]] = {
    "en": {
        "person": ("with {v}", "and {v}"),
        "relation": ("with {v}", "and {v}"),
        "place": ("at the {v}", "near the {v}"),
        "shop": ("from {v}", "at {v}"),
        "day": ("on {v}",),
        "price": ("for {v}", "at a price of {v}"),
        "text": ("with {v} on a tag", "with a tag of {v}"),
    },
    "zh": {
        "person": ("有{v}的", "和{v}一起的"),
        "relation": ("有{v}的", "和{v}一起的"),
        "place": ("在{v}的", "{v}附近的"),
        "shop": ("{v}那家的", "跟{v}有关的"),
        "day": ("{v}的",),
        "price": ("{v}块的",),
        "text": ("标签上写着{v}的", "挂着{v}标签的"),
    },
}


def ask(
    facets: Facets, language: Language, rng: random.Random, split: Split, *, picture: bool = False
) -> tuple[str, bool]:
    """Writes a query for some facets.

    Args:
        picture: ask for a picture.

    Returns:
        The query, and whether it uses a wording or a combination that training never shows.
    """
    words = lexicon.load()
    phrases = words.phrases[language]
    about = _thing(facets, language, rng)
    novel = is_held_out(facets)
    if "event" in facets:
        lines = words.events[facets["event"]].lines(language)
        chosen, strange = _one(lines.ask, lines.ask_held_out, rng, split)
        about, novel = chosen.format(x=about), novel or strange
    elif "matter" in facets:
        asks = words.matters[facets["matter"]].words(language)
        about, strange = _one(asks.ask, asks.ask_held_out, rng, split)
        novel = novel or strange
    elif "matter_family" in facets:
        family = words.matter_families[facets["matter_family"]]
        about = family.en if language == "en" else family.zh
    for facet in _ADDED[language]:
        if facet in facets:
            about = _with(about, facet, facets[facet], language, rng)
    frames = (
        (phrases.picture_frames, phrases.picture_frames_held_out)
        if picture
        else (phrases.frames, phrases.frames_held_out)
    )
    frame, strange = _one(*frames, rng, split)
    return frame.format(x=about), novel or strange


def choose(told: Told, rng: random.Random, wanted: Sequence[Facet]) -> Facets | None:
    """The wanted facets of what is told, now and then its family instead of its item.

    Returns:
        None where one of them is not told.
    """
    if any(facet not in told.facets for facet in wanted):
        return None
    chosen: Facets = {facet: told.facets[facet] for facet in wanted}
    if "item" in chosen and "event" in chosen and rng.random() < 0.1:
        del chosen["item"]
        chosen["family"] = told.facets["family"]
    return chosen


def other(language: Language) -> Language:
    return next(name for name in LANGUAGES if name != language)


def _one(
    usual: Sequence[str], rare: Sequence[str], rng: random.Random, split: Split
) -> tuple[str, bool]:
    """A wording, and whether training never shows it."""
    novel = split != "train" and rng.random() < NOVEL_FRAMES
    return rng.choice(rare if novel else usual), novel


def _thing(facets: Facets, language: Language, rng: random.Random) -> str:
    """The item or its family with how it looks; else a pronoun."""
    words = lexicon.load()
    phrases = words.phrases[language]
    if "item" in facets:
        thing = rng.choice(words.items[facets["item"]].ask(language))
    elif "family" in facets:
        family = words.families[facets["family"]]
        thing = family.en if language == "en" else family.zh
    else:
        thing = "something" if language == "en" else "某样东西"
    if "style" in facets:
        style = words.styles[facets["style"]].ask(language)
        thing = phrases.styled.format(style=style, x=thing)
    if "colour" in facets:
        colour = words.colours[facets["colour"]].ask(language)
        thing = phrases.coloured.format(colour=colour, x=thing)
    if facets.get("count", "1") != "1":
        count = words.counts[facets["count"]].ask(language)
        thing = phrases.counted.format(count=count, x=thing)
    return thing


def _with(about: str, facet: Facet, value: str, language: Language, rng: random.Random) -> str:
    if facet == "relation":
        said = lexicon.load().relations[value].ask(language)
    else:
        said = spoken(facet, value, language)
    added = rng.choice(_ADDED[language][facet]).format(v=said)
    return f"{about} {added}" if language == "en" else f"{added}{about}"


def is_held_out(facets: Facets) -> bool:
    """Whether a combination is asked for that training never shows."""
    item = facets.get("item")
    if item is None:
        return False
    pairs = [facets[facet] for facet in ("event", "colour") if facet in facets]
    return any(held_out(item, value) for value in pairs)
