"""Illustrated articles: sections about topics, pictures after sentences, some of them astray."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.data.world import lexicon, pages_lexicon
from training.data.world.facts import Split, Topic, draw_topics, held_out
from training.data.world.lexicon import LANGUAGES, Language
from training.data.world.pages_lexicon import NOVEL, Lists
from training.data.world.pictures import PictureSpec

SECTIONS = (3, 5)  # the published prompt asks for 3 to 5 headings
ASTRAY = 0.4  # share of the sections about a thing that have a picture which does not belong


@dataclass(frozen=True, slots=True)
class Illustration:
    """A picture in a section.

    Attributes:
        after: the number of the sentence that it stands behind.
        caption: what it shows; articles do not print it.
        belongs: it shows the section's thing; else it is near to it and astray.
        aside: a line of its own that announces a picture which does not belong, or empty.
    """

    picture: PictureSpec
    after: int
    caption: str
    belongs: bool
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What an article tells of one topic.

    Attributes:
        phrase: what the text calls the topic, with `{x}` for its thing.
        names: the text says what the thing is; else only pictures show it.
        has_price: the text tells the price.
    """

    topic: Topic
    phrase: str
    heading: str
    sentences: tuple[str, ...]
    illustrations: tuple[Illustration, ...]
    names: bool
    has_price: bool


@dataclass(frozen=True, slots=True)
class Article:
    id: str
    language: Language
    title: str
    sections: tuple[Section, ...]

    @property
    def illustrations(self) -> tuple[Illustration, ...]:
        """Every picture in the order of reading: `IMAGE_1` is the first."""
        return tuple(shown for section in self.sections for shown in section.illustrations)

    def belonging(self, section: int) -> list[int]:
        """The numbers, from 1, of the images that belong to a section; ascending."""
        first = 1 + sum(len(before.illustrations) for before in self.sections[:section])
        shown = self.sections[section].illustrations
        return [first + place for place, one in enumerate(shown) if one.belongs]


def make_article(
    seed: int, split: Split, number: int, *, language: Language | None = None
) -> Article:
    """Writes an article; equal arguments give an equal one."""
    name = f"world-2/{seed}/{split}/{number}"
    rng = random.Random(f"{name}/article")
    if language is None:
        language = rng.choice(LANGUAGES)
    while True:  # an article without a picture that belongs is drawn anew
        topics = draw_topics(rng, language, split, rng.randint(*SECTIONS))
        sections = tuple(_section(topic, topics, language, split, rng) for topic in topics)
        if any(shown.belongs for section in sections for shown in section.illustrations):
            break
    first = topics[0]
    lists = pages_lexicon.load().articles[language]
    title = lists.pick("titles", split, rng).format(
        place=first.place, person=first.person, day=first.day
    )
    return Article(name, language, sentence(title), sections)


def _section(
    topic: Topic, others: list[Topic], language: Language, split: Split, rng: random.Random
) -> Section:
    lists = pages_lexicon.load().articles[language]
    names = topic.item is None or not topic.pictured
    facts = facts_of(topic, language)
    phrase = pages_lexicon.phrase(topic, language, rng)
    about = pages_lexicon.fill(phrase, topic, language, named=names)
    heading = lists.pick("headings", split, rng).format(about=about, **facts)
    sentences = [lists.pick("leads", split, rng).format(about=about, **facts)]
    lines = _lines(topic, language, split, rng, names=names)
    quoted = rng.sample(lines, rng.choice((1, 2)))
    for line in quoted:
        quote = lists.pick("quotes", split, rng)
        while "{person}" in line and "{person}" in quote:  # nobody speaks of himself by name
            quote = lists.pick("quotes", split, rng)
        sentences.append(quote.format(line=line.format(**facts), **facts))
    has_price = any("{price}" in line for line in quoted)
    if not has_price and rng.random() < 0.5:
        sentences.append(lists.pick("prices", split, rng).format(**facts))
        has_price = True
    shown = tuple(_illustrations(topic, others, language, split, rng, len(sentences), names=names))
    written = tuple(sentence(said) for said in sentences)
    return Section(topic, phrase, sentence(heading), written, shown, names, has_price)


def _lines(
    topic: Topic, language: Language, split: Split, rng: random.Random, *, names: bool
) -> list[str]:
    """What can be quoted; dialogues say the same."""
    words = lexicon.load()
    novel = split != "train" and rng.random() < NOVEL
    if topic.matter:
        said = words.matters[topic.matter].words(language)
        return list(said.lines_held_out if novel else said.lines)
    assert topic.event
    lines = words.events[topic.event].lines(language)
    plain, named = (
        (lines.plain_held_out, lines.named_held_out) if novel else (lines.plain, lines.named)
    )
    return [*plain, *(named if names else ())]


def _illustrations(
    topic: Topic,
    others: list[Topic],
    language: Language,
    split: Split,
    rng: random.Random,
    sentences: int,
    *,
    names: bool,
) -> Sequence[Illustration]:
    if topic.item is None:
        return []
    lists = pages_lexicon.load().articles[language]
    count = rng.choice((0, 1, 1, 2) if names else (1, 1, 2))
    specs = [_spec(topic, rng) for _ in range(count)]
    places = sorted(rng.randrange(sentences) for _ in specs)
    shown = [
        Illustration(spec, after, _caption(spec, lists, language, split, rng), belongs=True)
        for spec, after in zip(specs, places, strict=True)
    ]
    if rng.random() < ASTRAY:
        spec = _near(topic, others, split, rng)
        caption = _caption(spec, lists, language, split, rng)
        if names and rng.random() < 0.5:
            astray = Illustration(spec, rng.randrange(sentences), caption, belongs=False)
            shown = sorted((*shown, astray), key=lambda one: one.after)
        else:
            # Of a thing that is never named, only a line of its own can tell what is astray. It
            # stands last, so that no other picture follows it.
            aside = lists.pick("asides", split, rng)
            shown.append(Illustration(spec, sentences - 1, caption, belongs=False, aside=aside))
    return shown


def _spec(topic: Topic, rng: random.Random) -> PictureSpec:
    assert topic.item
    return PictureSpec(
        topic.item, topic.colour, rng.randrange(10**6), count=topic.count, style=topic.style,
        beside=topic.beside,
    )  # fmt: skip


def _near(topic: Topic, others: list[Topic], split: Split, rng: random.Random) -> PictureSpec:
    """The same thing in another colour, or another of its family; no section is about it."""
    words = lexicon.load()
    assert topic.item
    pairs = [(topic.item, colour) for colour in sorted(words.colours) if colour != topic.colour]
    family = words.items[topic.item].family
    pairs += [
        (item, topic.colour)
        for item in sorted(words.items)
        if item != topic.item and words.items[item].family == family
    ]
    told = {(other.item, other.colour) for other in others}
    free = [
        pair for pair in pairs if pair not in told and (split != "train" or not held_out(*pair))
    ]
    item, colour = rng.choice(free)
    spec = PictureSpec(item, colour, rng.randrange(10**6))
    return replace(spec, style=topic.style)


def _caption(
    spec: PictureSpec, lists: Lists, language: Language, split: Split, rng: random.Random
) -> str:
    return lists.pick("captions", split, rng).format(x=pages_lexicon.shown(spec, language))


def facts_of(topic: Topic, language: Language) -> dict[str, str]:
    """What the places of templates are filled with."""
    item = lexicon.load().items[topic.item] if topic.item else None
    return {
        "item": item.say(language) if item else "",
        "a_item": item.one() if item else "",
        "person": topic.person,
        "place": topic.place,
        "day": topic.day,
        "price": str(topic.price),
        "shop": topic.shop,
    }


def sentence(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]
