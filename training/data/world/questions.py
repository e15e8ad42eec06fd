"""Questions about a picture, and retrieved pictures of which some help and some mislead."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from training.data.world import lexicon, pages_lexicon
from training.data.world.facts import Split, held_out
from training.data.world.lexicon import LANGUAGES, Language
from training.data.world.pictures import MAX_COUNT, PictureSpec, Position, Style

Asked = Literal["thing", "colour", "count", "position", "style", "text", "presence"]
ASKED: tuple[Asked, ...] = get_args(Asked)
RETRIEVED = 10  # SURf retrieves this many for the construction of its data
LETTERS = "ABCDEFGHKLMNPRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Reference:
    """A retrieved picture.

    Attributes:
        distance: how many of the facts differ from the picture that is asked about, and a part
            drawn below one, since two references are never equally far; stands for squared L2.
        helps: it tells the answer; else it tells another one.
    """

    picture: PictureSpec
    caption: str
    distance: float
    helps: bool


@dataclass(frozen=True, slots=True)
class PictureQuestion:
    """A question, its answer in a word or a phrase, and what was retrieved, nearest first."""

    id: str
    language: Language
    asked: Asked
    picture: PictureSpec
    text: str
    answer: str
    references: tuple[Reference, ...]

    def nearest(self, *, helps: bool) -> Reference:
        """The nearest reference of a label: SURf's positive, or its hard negative."""
        return next(one for one in self.references if one.helps == helps)


def make_question(
    seed: int, split: Split, number: int, *, language: Language | None = None
) -> PictureQuestion:
    """Draws a picture, asks about it and retrieves; equal arguments give an equal question.

    References of both labels are always among the retrieved: SURf drops a question otherwise.
    """
    name = f"world-2/{seed}/{split}/{number}"
    rng = random.Random(f"{name}/question")
    if language is None:
        language = rng.choice(LANGUAGES)
    asked = rng.choice(ASKED)
    picture = _picture(asked, split, rng)
    named = picture.item
    if asked == "presence" and rng.random() < 0.5:
        named = rng.choice([item for item in _family(picture.item) if item != picture.item])
    text = _text(asked, named, language, split, rng)
    answer = answer_of(asked, picture, named, language)
    references = _references(asked, picture, named, answer, language, split, rng)
    return PictureQuestion(name, language, asked, picture, text, answer, references)


def answer_of(asked: Asked, picture: PictureSpec, named: str, language: Language) -> str:
    """What a picture answers, in the words of captions.

    Args:
        named: the item that a question of presence is about.
    """
    words = lexicon.load()
    if asked == "thing":
        return words.items[picture.item].say(language)
    if asked == "colour":
        return words.colours[picture.colour].say(language)
    if asked == "position":
        return words.positions[picture.position].say(language)
    if asked == "count":
        return str(picture.count)
    if asked == "text":
        return picture.text
    english = language == "en"
    if asked == "style":
        if picture.style == "plain":
            return "plain" if english else "纯色"
        return words.styles[picture.style].say(language)
    there = named == picture.item
    return ("yes" if there else "no") if english else ("有" if there else "没有")


def _picture(asked: Asked, split: Split, rng: random.Random) -> PictureSpec:
    words = lexicon.load()
    item, colour = _pair(sorted(words.items), sorted(words.colours), split, rng)
    spec = PictureSpec(item, colour, rng.randrange(10**6), style=rng.choice(get_args(Style)))
    if asked == "count":
        return replace(spec, count=rng.randint(1, MAX_COUNT))
    if asked == "position":
        return replace(spec, size="small", position=rng.choice(get_args(Position)))
    if asked == "text":
        return replace(spec, text=_tag(rng))
    return spec


def _pair(
    items: Sequence[str], colours: Sequence[str], split: Split, rng: random.Random
) -> tuple[str, str]:
    """A thing and a colour that the split may show; another colour where none of these may be."""
    pairs = [
        (item, colour)
        for item in items
        for colour in colours
        if split != "train" or not held_out(item, colour)
    ]
    return rng.choice(pairs) if pairs else _pair(items, sorted(lexicon.load().colours), split, rng)


def _text(
    asked: Asked, named: str, language: Language, split: Split, rng: random.Random
) -> str:  # fmt: skip
    item = lexicon.load().items[named]
    line = pages_lexicon.load().questions[language].pick(asked, split, rng)
    return line.format(
        x=item.say(language), xs=item.plural_en, a_x=item.one(), measure=item.measure_zh
    )


def _references(
    asked: Asked,
    picture: PictureSpec,
    named: str,
    answer: str,
    language: Language,
    split: Split,
    rng: random.Random,
) -> tuple[Reference, ...]:
    """Draws variants of the picture until ten are there and both labels are among them."""
    lists = pages_lexicon.load().questions[language]
    found: list[Reference] = []
    while len(found) < RETRIEVED:
        helps = len(found) % 2 == 0 if len(found) < 2 else rng.random() < 0.4
        variant = _variant(asked, picture, helps, split, rng)
        if (answer_of(asked, variant, named, language) == answer) != helps or variant == picture:
            continue
        caption = lists.pick("captions", split, rng).format(
            x=_caption(asked, variant, language)
        )  # fmt: skip
        distance = _differences(picture, variant) + rng.random() * 0.99
        found.append(Reference(variant, caption, distance, helps))
    return tuple(sorted(found, key=lambda one: one.distance))


def _variant(
    asked: Asked, picture: PictureSpec, helps: bool, split: Split, rng: random.Random
) -> PictureSpec:
    """A picture that answers alike and differs elsewhere, or the other way round."""
    words = lexicon.load()
    spec = replace(picture, seed=rng.randrange(10**6))
    items, colours = [picture.item], [picture.colour]
    # Whatever is not asked about changes at times, whether the reference helps or not.
    if asked not in ("thing", "presence") and rng.random() < 0.4:
        items = _family(picture.item)
    if asked != "colour" and rng.random() < 0.4:
        colours = sorted(words.colours)
    if not helps and asked in ("thing", "presence"):
        items = _family(picture.item)
    if not helps and asked == "colour":
        colours = sorted(words.colours)
    item, colour = _pair(items, colours, split, rng)
    spec = replace(spec, item=item, colour=colour)
    if helps:
        return spec
    if asked == "count":
        return replace(spec, count=rng.randint(1, MAX_COUNT))
    if asked == "position":
        return replace(spec, position=rng.choice(get_args(Position)))
    if asked == "style":
        return replace(spec, style=rng.choice(get_args(Style)))
    if asked == "text":
        return replace(spec, text=_tag(rng))
    return spec


def _caption(asked: Asked, picture: PictureSpec, language: Language) -> str:
    """What is shown; where they are asked about, numbers in digits and plain things as such."""
    told = pages_lexicon.shown(picture, language)
    if asked == "count":
        told += f" ({picture.count})" if language == "en" else f"（{picture.count}）"
    if asked == "style" and picture.style == "plain":
        told += ", plain" if language == "en" else "，纯色"
    return told


def _differences(one: PictureSpec, other: PictureSpec) -> int:
    names = ("item", "colour", "count", "style", "position", "text")
    return sum(getattr(one, name) != getattr(other, name) for name in names)


def _family(item: str) -> list[str]:
    words = lexicon.load()
    family = words.items[item].family
    return [name for name in sorted(words.items) if words.items[name].family == family]


def _tag(rng: random.Random) -> str:
    return rng.choice(LETTERS) + f"{rng.randrange(10, 1000)}"
