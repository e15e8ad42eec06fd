"""Turns facts into dialogues: stretches of talk, stitched together, sometimes returning."""

import random
from dataclasses import dataclass

from training.data.world import lexicon
from training.data.world.facts import Split, Topic, draw_topics
from training.data.world.lexicon import Language, Phrases
from training.data.world.pictures import PictureSpec

MIN_TURNS, MAX_TURNS = 8, 40
RETURNS = 0.2  # share of dialogues of three or more stretches in which a topic comes back


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance: its text may be empty when it has a picture, which stands after the text."""

    speaker: str
    text: str
    picture: PictureSpec | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Turns `start` to `stop` (exclusive) are about topic number `topic`."""

    topic: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class WorldDialogue:
    id: str
    language: Language
    topics: tuple[Topic, ...]
    stretches: tuple[Stretch, ...]
    turns: tuple[Turn, ...]

    @property
    def pictures(self) -> tuple[PictureSpec, ...]:
        """Every picture in order; the position is the image id."""
        return tuple(turn.picture for turn in self.turns if turn.picture)

    def turns_about(self, topic: int) -> list[int]:
        """Turn ids of every stretch about a topic, fillers included, ascending."""
        return [
            turn
            for stretch in self.stretches
            if stretch.topic == topic
            for turn in range(stretch.start, stretch.stop)
        ]

    def images_in(self, turn_ids: list[int]) -> list[int]:
        """Image ids that the given turns show, ascending."""
        wanted = set(turn_ids)
        owners = [number for number, turn in enumerate(self.turns) if turn.picture]
        return [image for image, owner in enumerate(owners) if owner in wanted]


def make_dialogue(
    seed: str,
    split: Split,
    *,
    turn_range: tuple[int, int] = (MIN_TURNS, MAX_TURNS),
    language: Language | None = None,
) -> WorldDialogue:
    """Writes one dialogue; equal arguments give an equal dialogue.

    Args:
        turn_range: fewest and most turns, inside what the lines of the topics allow.
    """
    rng = random.Random(seed)
    language = language or rng.choice(lexicon.LANGUAGES)
    lengths = _stretch_lengths(rng, *turn_range)
    returns = len(lengths) >= 3 and rng.random() < RETURNS
    topics = draw_topics(rng, language, split, len(lengths) - returns)
    order = list(range(len(topics)))
    if returns:
        # A topic comes back, never directly after itself.
        place = rng.randrange(2, len(topics) + 1)
        order.insert(place, rng.choice(order[: place - 1]))
    scripts = [_Script(rng, topic, language) for topic in topics]
    speakers = [f"user{number + 1}" for number in range(rng.choice((2, 2, 2, 3, 3, 4)))]
    turns: list[Turn] = []
    stretches: list[Stretch] = []
    for number, (topic, length) in enumerate(zip(order, lengths, strict=True)):
        start = len(turns)
        for text, picture in scripts[topic].stretch(length, first=number == 0):
            turns.append(Turn(_next_speaker(rng, speakers, turns), text, picture))
        stretches.append(Stretch(topic, start, len(turns)))
    return WorldDialogue(seed, language, tuple(topics), tuple(stretches), tuple(turns))


def make_stretch(
    rng: random.Random, topic: Topic, language: Language, length: int
) -> tuple[Turn, ...]:
    """Writes turns about one topic, outside of any dialogue."""
    speakers = [f"user{number + 1}" for number in range(rng.choice((2, 2, 3)))]
    turns: list[Turn] = []
    for text, picture in _Script(rng, topic, language).stretch(length, first=True):
        turns.append(Turn(_next_speaker(rng, speakers, turns), text, picture))
    return tuple(turns)


def _stretch_lengths(rng: random.Random, fewest: int, most: int) -> list[int]:
    """Draws 2 to 4 lengths of 3 to 12 turns whose sum is within the range."""
    while True:
        count = rng.choice((2, 3, 3, 4, 4))
        lengths = [rng.randint(3, 12) for _ in range(count)]
        if fewest <= sum(lengths) <= most:
            return lengths


def _next_speaker(rng: random.Random, speakers: list[str], turns: list[Turn]) -> str:
    last = turns[-1].speaker if turns else None
    others = [name for name in speakers if name != last]
    return rng.choice(speakers if rng.random() < 0.15 else others)


class _Script:
    """What can still be said about one topic; a line is said once in a dialogue."""

    def __init__(self, rng: random.Random, topic: Topic, language: Language) -> None:
        words = lexicon.load()
        self._rng = rng
        self._topic = topic
        self._phrases: Phrases = words.phrases[language]
        self._named: list[str] = []
        if topic.matter:
            self._plain = list(words.matters[topic.matter].words(language).lines)
        else:
            assert topic.item
            assert topic.event
            lines = words.events[topic.event].lines(language)
            self._plain = list(lines.plain)
            self._named = [] if topic.pictured else list(lines.named)
        self._item = words.items[topic.item].say(language) if topic.item else ""
        rng.shuffle(self._plain)
        rng.shuffle(self._named)
        self._pictures = self._pictures_left = self._picture_count()

    def stretch(self, length: int, *, first: bool) -> list[tuple[str, PictureSpec | None]]:
        """Writes `length` turns; what names or shows the item comes early, fillers in between."""
        said = [self._lead(), *(self._follow() for _ in range(length - 1))]
        if self._topic.pictured and self._pictures_left == self._pictures:
            said[1] = self._shown()  # what is never named must be seen early
        if not first and self._rng.random() < 0.3:
            text, picture = said[0]
            opener = self._rng.choice(self._phrases.openers)
            said[0] = (f"{opener}, {text}" if text else opener, picture)
        return said

    def _picture_count(self) -> int:
        if self._topic.item is None:
            return 0
        if self._topic.pictured:
            return self._rng.choice((1, 1, 2))
        return self._rng.choice((0, 0, 1))

    def _lead(self) -> tuple[str, PictureSpec | None]:
        if self._topic.pictured and self._pictures_left and self._rng.random() < 0.75:
            return self._shown()
        if self._named:
            return self._filled(self._named.pop()), None
        return self._line()

    def _follow(self) -> tuple[str, PictureSpec | None]:
        choice = self._rng.random()
        if self._pictures_left and choice < 0.35:
            return self._shown()
        if self._named and choice < 0.2:
            return self._filled(self._named.pop()), None
        if choice < 0.75:
            return self._line()
        return self._rng.choice(self._phrases.fillers), None

    def _line(self) -> tuple[str, PictureSpec | None]:
        if self._plain:
            return self._filled(self._plain.pop()), None
        return self._rng.choice(self._phrases.fillers), None

    def _shown(self) -> tuple[str, PictureSpec | None]:
        self._pictures_left -= 1
        assert self._topic.item
        picture = PictureSpec(self._topic.item, self._topic.colour, self._rng.randrange(10**6))
        text = "" if self._rng.random() < 0.4 else self._rng.choice(self._phrases.shows)
        return text, picture

    def _filled(self, line: str) -> str:
        article = "an" if self._item[:1] in "aeiou" else "a"
        return line.format(
            item=self._item,
            a_item=f"{article} {self._item}",
            person=self._topic.person,
            place=self._topic.place,
            day=self._topic.day,
            price=self._topic.price,
        )
