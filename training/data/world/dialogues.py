"""Turns facts into dialogues: stretches of talk, stitched together, sometimes returning."""

import random
from dataclasses import dataclass

from training.data.world import lexicon
from training.data.world.facts import Split, Topic, draw_topics
from training.data.world.lexicon import Language
from training.data.world.pictures import PictureSpec, Position, Size

MIN_TURNS, MAX_TURNS = 8, 40
RETURNS = 0.25  # share of dialogues of three or more stretches in which a topic comes back
SMALL, TAGGED = 0.2, 0.1  # shares of pictures with a small thing, and with its price on a tag


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a dialogue may be, and who speaks in it.

    Attributes:
        turns: fewest and most.
        stretches: numbers of stretches to choose from, often ones several times.
        longest: turns of a stretch.
        idle: share of a topic's lines that say nothing about it.
        named: speakers have names instead of numbers.
    """

    turns: tuple[int, int] = (MIN_TURNS, MAX_TURNS)
    stretches: tuple[int, ...] = (2, 3, 3, 4, 4)
    longest: int = 12
    idle: float = 0.25
    named: bool = False


USUAL = Plan()


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
    seed: str, split: Split, *, plan: Plan = USUAL, language: Language | None = None
) -> WorldDialogue:
    """Writes one dialogue; equal arguments give an equal dialogue."""
    rng = random.Random(seed)
    language = language or rng.choice(lexicon.LANGUAGES)
    lengths = _stretch_lengths(rng, plan)
    returns = len(lengths) >= 3 and rng.random() < RETURNS
    topics = draw_topics(rng, language, split, len(lengths) - returns)
    order = list(range(len(topics)))
    if returns:
        # A topic comes back, never directly after itself.
        place = rng.randrange(2, len(topics) + 1)
        order.insert(place, rng.choice(order[: place - 1]))
    scripts = [_Script(rng, topic, language, split, plan.idle) for topic in topics]
    speakers = _speakers(rng, language, rng.choice((2, 2, 2, 3, 3, 4)), named=plan.named)
    turns: list[Turn] = []
    stretches: list[Stretch] = []
    for number, (topic, length) in enumerate(zip(order, lengths, strict=True)):
        start = len(turns)
        for text, picture in scripts[topic].stretch(length, first=number == 0):
            turns.append(Turn(_next_speaker(rng, speakers, turns), text, picture))
        stretches.append(Stretch(topic, start, len(turns)))
    return WorldDialogue(seed, language, tuple(topics), tuple(stretches), tuple(turns))


def make_stretch(
    rng: random.Random, topic: Topic, language: Language, length: int, split: Split = "train"
) -> tuple[Turn, ...]:
    """Writes turns about one topic, outside of any dialogue."""
    speakers = _speakers(rng, language, rng.choice((2, 2, 3)))
    turns: list[Turn] = []
    for text, picture in _Script(rng, topic, language, split).stretch(length, first=True):
        turns.append(Turn(_next_speaker(rng, speakers, turns), text, picture))
    return tuple(turns)


def _stretch_lengths(rng: random.Random, plan: Plan) -> list[int]:
    """Draws lengths of three turns and more whose sum is within the plan."""
    fewest, most = plan.turns
    while True:
        lengths = [rng.randint(3, plan.longest) for _ in range(rng.choice(plan.stretches))]
        if fewest <= sum(lengths) <= most:
            return lengths


def _speakers(
    rng: random.Random, language: Language, count: int, *, named: bool = False
) -> list[str]:
    if named:
        return rng.sample(lexicon.load().phrases[language].speakers_shifted, count)
    return [f"user{number + 1}" for number in range(count)]


def _next_speaker(rng: random.Random, speakers: list[str], turns: list[Turn]) -> str:
    last = turns[-1].speaker if turns else None
    others = [name for name in speakers if name != last]
    return rng.choice(speakers if rng.random() < 0.15 else others)


class _Script:
    """What can still be said about one topic; a line is said once in a dialogue.

    Held-out data says what training never says, too, as often as any other line.
    """

    def __init__(
        self,
        rng: random.Random,
        topic: Topic,
        language: Language,
        split: Split,
        idle: float = USUAL.idle,
    ) -> None:
        words = lexicon.load()
        phrases = words.phrases[language]
        self._rng = rng
        self._topic = topic
        self._language = language
        self._idle = idle
        held = split != "train"
        self._fillers = phrases.fillers + (phrases.fillers_held_out if held else ())
        self._shows = phrases.shows + (phrases.shows_held_out if held else ())
        self._openers = phrases.openers + (phrases.openers_held_out if held else ())
        self._named: list[str] = []
        if topic.matter:
            matter = words.matters[topic.matter].words(language)
            self._plain = [*matter.lines, *(matter.lines_held_out if held else ())]
        else:
            assert topic.item
            assert topic.event
            event = words.events[topic.event].lines(language)
            self._plain = [*event.plain, *(event.plain_held_out if held else ())]
            if not topic.pictured:
                self._named = [*event.named, *(event.named_held_out if held else ())]
        self._item = words.items[topic.item].say(language) if topic.item else ""
        self._one = words.items[topic.item].one() if topic.item else ""
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
            opener = self._rng.choice(self._openers)
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
        if choice < self._idle:
            return self._rng.choice(self._fillers), None
        if self._pictures_left and choice < self._idle + 0.35:
            return self._shown()
        if self._named and choice < self._idle + 0.2:
            return self._filled(self._named.pop()), None
        return self._line()

    def _line(self) -> tuple[str, PictureSpec | None]:
        if self._plain:
            return self._filled(self._plain.pop()), None
        return self._rng.choice(self._fillers), None

    def _shown(self) -> tuple[str, PictureSpec | None]:
        self._pictures_left -= 1
        topic = self._topic
        assert topic.item
        size: Size = "large"
        position: Position = "middle"
        if topic.count == 1 and topic.beside is None and self._rng.random() < SMALL:
            size = "small"
            position = self._rng.choice(("left", "middle", "right"))
        picture = PictureSpec(
            topic.item,
            topic.colour,
            self._rng.randrange(10**6),
            topic.count,
            topic.style,
            size,
            position,
            text=str(topic.price) if self._rng.random() < TAGGED else "",
            beside=topic.beside,
        )
        text = "" if self._rng.random() < 0.4 else self._rng.choice(self._shows)
        return text, picture

    def _filled(self, line: str) -> str:
        topic = self._topic
        return line.format(
            item=self._item,
            a_item=self._one,
            person=self._person(),
            place=topic.place,
            shop=topic.shop,
            day=topic.day,
            price=topic.price,
        )

    def _person(self) -> str:
        """The name, most of the time with what the person is to the speaker."""
        topic = self._topic
        if topic.relation is None or self._rng.random() < 0.3:
            return topic.person
        relation = lexicon.load().relations[topic.relation].say(self._language)
        return (
            f"my {relation} {topic.person}"
            if self._language == "en"
            else f"我{relation}{topic.person}"
        )
