"""Questions about articles, summaries of them, and where pictures stand in the gold answers."""

import random
from dataclasses import dataclass

from training.data.world import pages_lexicon
from training.data.world.articles import Article, facts_of, sentence
from training.data.world.facts import Split, Topic
from training.data.world.lexicon import Language

TWO_SUBJECTS = 0.4  # share of questions that need two sections


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A part of an answer: the image, numbered from 1, stands behind its text."""

    heading: str
    text: str
    section: int | None
    image: int | None
    caption: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A question about an article and its gold.

    Attributes:
        sections: those that answer it.
        by_picture: one of them never names its thing.
    """

    text: str
    sections: tuple[int, ...]
    by_picture: bool
    paragraphs: tuple[Paragraph, ...]


def ask(article: Article, split: Split) -> Answered:
    """Asks what one or two sections tell; others must not be in the answer."""
    rng = random.Random(f"{article.id}/question")
    count = 2 if rng.random() < TWO_SUBJECTS else 1
    chosen = sorted(rng.sample(range(len(article.sections)), count))
    lists = pages_lexicon.load().articles[article.language]
    subjects = [_asked(article.sections[place].topic, article.language, rng) for place in chosen]
    about = subjects[0]
    if count == 2:
        about = lists.pick("both", split, rng).format(one=subjects[0], other=subjects[1])
    text = lists.pick("questions", split, rng).format(about=about)
    paragraphs = tuple(_paragraph(article, place, split, rng) for place in chosen)
    by_picture = any(not article.sections[place].names for place in chosen)
    return Answered(text, tuple(chosen), by_picture, paragraphs)


def summarise(article: Article, split: Split) -> tuple[Paragraph, ...]:
    """The gold summary: an overview under the title, then a paragraph for each section."""
    rng = random.Random(f"{article.id}/summary")
    lists = pages_lexicon.load().articles[article.language]
    told = [_paragraph(article, place, split, rng) for place in range(len(article.sections))]
    overview = lists.pick("overviews", split, rng).format(
        count=len(told), first=_inside(told[0].heading), last=_inside(told[-1].heading)
    )
    return (Paragraph(article.title, sentence(overview), None, None, ""), *told)


def _paragraph(article: Article, place: int, split: Split, rng: random.Random) -> Paragraph:
    section, language = article.sections[place], article.language
    lists = pages_lexicon.load().articles[language]
    facts = facts_of(section.topic, language)
    about = pages_lexicon.fill(section.phrase, section.topic, language)
    text = sentence(lists.pick("answers", split, rng).format(about=about, **facts))
    if section.has_price:
        cost = lists.pick("costs", split, rng).format(**facts)
        text += f" {cost}" if language == "en" else cost
    images = article.belonging(place)
    image = images[0] if images else None
    caption = article.illustrations[image - 1].caption if image else ""
    return Paragraph(sentence(about), text, place, image, caption)


def _asked(topic: Topic, language: Language, rng: random.Random) -> str:
    """The topic in words that are not always those of the article."""
    return pages_lexicon.fill(pages_lexicon.phrase(topic, language, rng), topic, language)


def _inside(heading: str) -> str:
    """A heading within a sentence; the world writes no names with capitals."""
    return heading[:1].lower() + heading[1:]
