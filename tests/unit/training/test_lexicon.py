import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, combinations
from string import Formatter

import pytest

from training.data.world import lexicon
from training.data.world.lexicon import LANGUAGES, EventLines, Language, MatterLines

WORDS = lexicon.load()
STOP = frozenset(
    """
    a about above after again against all am an and another any are around as at away back be been
    before behind below but by came can come comes could did different do does down each for from
    full get getting go got had has have he her here him his i in into is it its made make me must
    my near new nor not of off old on once one only or other our out over please put s same so some
    somebody someone something still t than that the their them then there they this through time
    to too under until up us was we went were what when where which while who whole will with you
    your
    """.split()  # noqa: SIM905
)
STOP_ZH = "的了在我你他她们一个几是有不到上下里和跟与把给得着过还就都也人来这那"  # grammar
PLACEHOLDERS = {"item", "a_item", "person", "place", "day", "price", "shop"}
HELD_OUT = "_held_out"


def _content(text: str) -> set[str]:
    return {word for word in re.findall("[a-z]+", _bare(text).lower()) if word not in STOP}


def _bare(text: str) -> str:
    return re.sub(r"\{\w+\}", " ", text)


def _pairs(text: str) -> set[str]:
    """Every two neighbouring Chinese characters that are not grammar."""
    runs = re.findall(f"(?:(?![{STOP_ZH}])[\u4e00-\u9fff])+", _bare(text))
    return {run[at : at + 2] for run in runs for at in range(len(run) - 1)}


def _spoken(language: Language) -> Iterator[tuple[str, EventLines | MatterLines]]:
    for name, event in WORDS.events.items():
        yield name, event.lines(language)
    for name, matter in WORDS.matters.items():
        yield name, matter.words(language)


def _said(spoken: EventLines | MatterLines, *, held_out: bool = True) -> tuple[str, ...]:
    if isinstance(spoken, EventLines):
        common, rare = spoken.named + spoken.plain, spoken.named_held_out + spoken.plain_held_out
    else:
        common, rare = spoken.lines, spoken.lines_held_out
    return common + rare if held_out else common


def _lines(language: Language) -> list[str]:
    phrases = WORDS.phrases[language]
    idle = phrases.fillers + phrases.shows + phrases.openers
    idle += phrases.fillers_held_out + phrases.shows_held_out + phrases.openers_held_out
    return [*idle, *(line for _, spoken in _spoken(language) for line in _said(spoken))]


def _asked(language: Language) -> list[str]:
    """Every phrase that only queries may use."""
    words = chain(
        WORDS.colours.values(),
        WORDS.styles.values(),
        WORDS.counts.values(),
        WORDS.sizes.values(),
        WORDS.positions.values(),
        WORDS.relations.values(),
    )
    families = chain(WORDS.families.values(), WORDS.matter_families.values())
    return [
        *(word.ask(language) for word in words),
        *(family.ask(language) for family in families),
        *(phrase for item in WORDS.items.values() for phrase in item.ask(language)),
        *(ask for _, spoken in _spoken(language) for ask in spoken.ask + spoken.ask_held_out),
    ]


def _shown(language: Language) -> list[str]:
    """The words of what pictures show: items, colours and styles."""
    return [
        entry.say(language)
        for entry in chain(WORDS.items.values(), WORDS.colours.values(), WORDS.styles.values())
    ]


def test_no_query_repeats_a_word_of_a_line_in_english():
    said = set().union(*map(_content, _lines("en")))
    said |= set().union(*map(_content, WORDS.phrases["en"].shops + WORDS.phrases["en"].places))

    assert {ask: _content(ask) & said for ask in _asked("en") if _content(ask) & said} == {}


def test_no_query_repeats_a_word_of_a_line_in_chinese():
    said = set().union(*map(_pairs, _lines("zh")))
    said |= set().union(*map(_pairs, WORDS.phrases["zh"].shops + WORDS.phrases["zh"].places))

    assert {ask: _pairs(ask) & said for ask in _asked("zh") if _pairs(ask) & said} == {}


def test_no_query_names_what_pictures_show():
    shown = set().union(*map(_content, _shown("en")))
    shown |= set().union(*(_content(item.plural_en) for item in WORDS.items.values()))
    shown_zh = set(_shown("zh"))

    assert {ask: _content(ask) & shown for ask in _asked("en") if _content(ask) & shown} == {}
    assert [(ask, word) for ask in _asked("zh") for word in shown_zh if word in ask] == []


def test_no_line_names_an_item_a_colour_or_a_relation():
    named = set().union(*map(_content, _shown("en")))
    named |= set().union(*(_content(item.plural_en) for item in WORDS.items.values()))
    named |= {relation.en for relation in WORDS.relations.values()}
    named -= {"pairs", "bunches"}
    named_zh = {*_shown("zh"), *(relation.zh for relation in WORDS.relations.values())}

    assert {line: _content(line) & named for line in _lines("en") if _content(line) & named} == {}
    assert [(line, word) for line in _lines("zh") for word in named_zh if word in line] == []


def test_items_are_described_by_words_of_their_own():
    for one, other in combinations(WORDS.items.values(), 2):
        assert not _content(" ".join(one.ask_en)) & _content(" ".join(other.ask_en)), (one, other)
        shared = set().union(*map(_pairs, one.ask_zh)) & set().union(*map(_pairs, other.ask_zh))
        assert not shared, (one.zh, other.zh)
    for language in LANGUAGES:
        families = {family.ask(language) for family in WORDS.families.values()}
        assert len(families) == len(WORDS.families)
        assert not families & set(_shown(language))


def test_topics_are_told_by_lines_of_their_own():
    for language in LANGUAGES:
        lines = [line for _, spoken in _spoken(language) for line in _said(spoken)]
        asks = [ask for _, spoken in _spoken(language) for ask in spoken.ask + spoken.ask_held_out]

        assert [text for text, times in Counter(lines + asks).items() if times > 1] == []


def test_every_event_and_family_combines_widely():
    families = Counter(family for event in WORDS.events.values() for family in event.families)
    sizes = Counter(item.family for item in WORDS.items.values())

    assert set(families) == set(sizes) == set(WORDS.families)
    assert all(len(event.families) >= 5 for event in WORDS.events.values())
    assert min(families.values()) >= 5
    assert sum(size >= 4 for size in sizes.values()) >= 12


def test_every_matter_is_of_a_known_family():
    sizes = Counter(matter.family for matter in WORDS.matters.values())

    assert set(sizes) == set(WORDS.matter_families)
    assert min(sizes.values()) >= 2


def test_every_list_has_its_length():
    for language in LANGUAGES:
        for event in WORDS.events.values():
            lines = event.lines(language)
            assert [len(lines.named), len(lines.plain), len(lines.ask)] == [4, 8, 3], lines
            held_out = lines.named_held_out, lines.plain_held_out, lines.ask_held_out
            assert list(map(len, held_out)) == [1, 2, 1], lines
        for matter in WORDS.matters.values():
            spoken = matter.words(language)
            held_out = spoken.lines_held_out, spoken.ask_held_out
            lengths = map(len, (spoken.lines, spoken.ask, *held_out))
            assert list(lengths) == [9, 3, 2, 1], spoken
    english, chinese = (WORDS.phrases[language].model_dump() for language in LANGUAGES)
    for name, words in english.items():
        assert len(words) == len(chinese[name]) or isinstance(words, str), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_known(language: Language):
    with_shop = 0
    for name, event in WORDS.events.items():
        lines = event.lines(language)
        for line in lines.named + lines.named_held_out:
            assert _fields(line) & {"item", "a_item"}, line
        for line in lines.plain + lines.plain_held_out:
            assert not _fields(line) & {"item", "a_item"}, line
        for ask in lines.ask + lines.ask_held_out:
            assert _fields(ask) == {"x"}, (name, ask)
        with_shop += any("shop" in _fields(line) for line in lines.plain)
    known = PLACEHOLDERS if language == "en" else PLACEHOLDERS - {"a_item"}
    for _, spoken in _spoken(language):
        for line in _said(spoken):
            assert _fields(line) <= known, line
    assert with_shop >= 5
    phrases = WORDS.phrases[language]
    for frames in (phrases.frames, phrases.picture_frames):
        assert {frozenset(_fields(frame)) for frame in frames} == {frozenset({"x"})}
    for frames in (phrases.frames_held_out, phrases.picture_frames_held_out):
        assert {frozenset(_fields(frame)) for frame in frames} == {frozenset({"x"})}
    assert _fields(phrases.coloured) == {"colour", "x"}
    assert _fields(phrases.styled) == {"style", "x"}
    assert _fields(phrases.sized) == {"size", "x"}
    assert _fields(phrases.counted) == {"count", "x"}
    assert _fields(phrases.placed) == {"position", "x"}


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


def test_held_out_lists_are_apart_from_the_others():
    for language in LANGUAGES:
        for entry in (WORDS.phrases[language], *(spoken for _, spoken in _spoken(language))):
            lists = entry.model_dump()
            for name in lists:
                if name.endswith(HELD_OUT):
                    common, rare = lists[name.removesuffix(HELD_OUT)], lists[name]
                    assert rare, name
                    assert len({*common, *rare}) == len(common) + len(rare), (common, rare)


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_has_learnt_the_other_lines_understands_held_out_ones(language: Language):
    for name, spoken in _spoken(language):
        lists = (
            (_said(spoken)[len(_said(spoken, held_out=False)) :], _said(spoken, held_out=False)),
            (spoken.ask_held_out, spoken.ask),
        )
        for rare, common in lists:
            for text in rare:
                if language == "en":
                    known = set().union(*map(_content, common))
                    assert _content(text) <= known, (name, text, _content(text) - known)
                    fields = set().union(*map(_fields, common))
                    assert _fields(text) <= fields | {"item", "a_item"}, (name, text)
                else:
                    known = set("".join(common))
                    assert set(_bare(text)) - {" "} <= known | set(STOP_ZH), (name, text)


def test_an_item_is_one_of_its_kind():
    items = WORDS.items

    assert [items[key].one() for key in ("cat", "apple", "glasses", "icecream")] == [
        "a cat",
        "an apple",
        "a pair of glasses",
        "an ice cream",
    ]
    assert all(item.plural_en and item.measure_zh for item in items.values())


def test_names_do_not_repeat():
    for language in LANGUAGES:
        phrases = WORDS.phrases[language]
        names = phrases.people + phrases.people_held_out + phrases.places + phrases.days
        names += phrases.shops + phrases.speakers_shifted
        assert len(set(names)) == len(names)
        assert not {place for place in phrases.places for shop in phrases.shops if place in shop}
