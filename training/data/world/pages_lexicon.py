"""The words of pages and the layouts of screens, read from `lexicon/pages.yaml`."""

import random
from collections.abc import Mapping
from functools import cache
from typing import Self

import yaml
from pydantic import RootModel, model_validator

from training.data.world import lexicon
from training.data.world.facts import Split, Topic
from training.data.world.lexicon import FOLDER, Entry, Language
from training.data.world.pictures import PictureSpec

NOVEL = 0.4  # share of held-out pages' sentences in words that training never showed
_HELD_OUT = "_held_out"
Line = str | tuple[str, ...]


class Lists(RootModel[dict[str, tuple[Line, ...]]]):
    """Lists by name; each NAME has a sibling NAME_held_out that shares no entry with it."""

    @model_validator(mode="after")
    def siblings(self) -> Self:
        for name, lines in self.root.items():
            if name.endswith(_HELD_OUT):
                continue
            others = self.root.get(name + _HELD_OUT)
            if not others or not lines or set(lines) & set(others):
                raise ValueError(f"{name} needs {name}{_HELD_OUT}, with other entries")
        return self

    def pick(self, name: str, split: Split, rng: random.Random) -> str:
        """Draws one line of a list.

        Raises:
            KeyError: there is no such list.
        """
        line = self.draw(name, split, rng)
        assert isinstance(line, str)
        return line

    def draw(self, name: str, split: Split, rng: random.Random) -> Line:
        """Draws one entry of a list, from its held-out sibling only outside of training."""
        novel = split != "train" and rng.random() < NOVEL
        return rng.choice(self.root[name + _HELD_OUT if novel else name])

    def held_out(self) -> set[Line]:
        """Every entry that training must not show."""
        return {
            line for name, lines in self.root.items() if name.endswith(_HELD_OUT) for line in lines
        }


class Name(Entry):
    """What something is called."""

    en: str
    zh: str

    def say(self, language: Language) -> str:
        return self.en if language == "en" else self.zh


class Pages(Entry):
    """Everything in `pages.yaml`.

    Attributes:
        intents: MIRE's labels, with what a customer says.
        cues: the same labels, with what a picture shows.
        scenes: MIRE's labels, with screens as blocks from top to bottom.
        icons: shapes as in `cues`, by name.
    """

    articles: Mapping[Language, Lists]
    products: Mapping[Language, Lists]
    materials: Mapping[str, Name]
    service: Mapping[Language, Lists]
    questions: Mapping[Language, Lists]
    intents: Mapping[str, Mapping[Language, Lists]]
    cues: Mapping[str, Lists]
    scenes: Mapping[str, Lists]
    icons: Mapping[str, tuple[str, ...]]


@cache
def load() -> Pages:
    """Reads and checks the file.

    Raises:
        pydantic.ValidationError: a list has no held-out sibling, or shares an entry with it.
    """
    words = yaml.safe_load((FOLDER / "pages.yaml").read_text(encoding="utf-8"))
    return Pages.model_validate(words)


def thing(
    item: str, colour: str, language: Language, *, count: int = 1, style: str = "plain"
) -> str:
    """A coloured thing as captions say it: `a red striped shoe`, `两只红色的鞋子`."""
    words = lexicon.load()
    entry, shade = words.items[item], words.colours[colour].say(language)
    pattern = words.styles[style].say(language) if style != "plain" else ""
    if language == "zh":
        number = words.counts[str(count)].zh if count > 1 else "一"
        return f"{number}{entry.measure_zh}{shade}{pattern}的{entry.zh}"
    described = f"{shade} {pattern} ".replace("  ", " ")
    if count > 1:
        number = words.counts[str(count)].en
        measure, of, rest = entry.plural_en.rpartition(" of ")
        return f"{number} {measure}{of}{described}{rest}"
    measure, of, rest = entry.one().rpartition(" of ")
    if of:
        return f"{measure}{of}{described}{rest}"
    return f"{'an' if described[0] in 'aeiou' else 'a'} {described}{entry.en}"


def shown(spec: PictureSpec, language: Language) -> str:
    """What a picture shows, in the words of captions; its tag and its neighbour come last."""
    words = lexicon.load()
    told = thing(spec.item, spec.colour, language, count=spec.count, style=spec.style)
    if spec.position != "middle" or spec.size == "small":
        place = words.positions[spec.position].say(language)
        told += f" {place}" if language == "en" else f"（在{place}）"
    if spec.beside:
        other = thing(*spec.beside, language)
        told += f" and {other}" if language == "en" else f"和{other}"
    if spec.text:
        told += f", tag {spec.text}" if language == "en" else f"，标签{spec.text}"
    return told


def phrase(topic: Topic, language: Language, rng: random.Random) -> str:
    """What queries call a topic, with `{x}` where its thing stands; `fill` puts it there."""
    words = lexicon.load()
    if topic.matter:
        return rng.choice(words.matters[topic.matter].words(language).ask)
    assert topic.event
    return rng.choice(words.events[topic.event].lines(language).ask)


def fill(phrase: str, topic: Topic, language: Language, *, named: bool = True) -> str:
    """Puts a topic's thing into a phrase.

    Args:
        named: False says the thing's family alone, where a picture has to show which it is.
    """
    if topic.item is None:
        return phrase
    words = lexicon.load()
    if named:
        return phrase.format(x=thing(topic.item, topic.colour, language, style=topic.style))
    family = words.families[words.items[topic.item].family].ask(language)
    return phrase.format(x=f"some {family}" if language == "en" else f"某{family}")
