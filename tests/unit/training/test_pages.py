"""Articles, product pages, screens and questions: gold follows from facts, formats are published.

Counts are kept low: every property holds for each record alone.
"""

import json
import random
import re
from pathlib import Path
from typing import get_args

import pytest

from training.data import imageref, mbeir, mire, surf
from training.data.check.command import main as check
from training.data.world import lexicon, pages_lexicon, products, screenshots
from training.data.world.article_answers import ask, summarise
from training.data.world.articles import Article, make_article
from training.data.world.facts import Split, held_out
from training.data.world.files import FORMATS, main, write
from training.data.world.pictures import PictureSpec
from training.data.world.questions import ASKED, answer_of, make_question
from training.data.world.screenshots import Shown, render
from training.evaluate import mbeir_files

SEED = 7
MANY = range(60)
CHECKED = ("mire", "surf", "imageref", "imageref-bare")


def keep(_: str, __: Shown) -> str:
    return "kept.png"


def articles(split: Split) -> list[Article]:
    return [make_article(SEED, split, number) for number in MANY]


def as_pattern(template: str) -> re.Pattern[str]:
    """Matches whatever a template can become, and its first letter as a capital."""
    literal = [re.escape(part) for part in re.split(r"\{\w+\}", template)]
    return re.compile(".+".join(literal), re.IGNORECASE)


@pytest.mark.parametrize("name", FORMATS)
def test_equal_arguments_write_equal_bytes_and_another_seed_does_not(
    name: str, tmp_path: Path
) -> None:
    one, other, third = (tmp_path / folder for folder in ("one", "other", "third"))
    write(name, "train", 6, one)
    write(name, "train", 6, other)
    write(name, "train", 6, third, seed=1)
    files = sorted(path.relative_to(one) for path in one.rglob("*.*"))
    assert files == sorted(path.relative_to(other) for path in other.rglob("*.*"))
    assert all((one / path).read_bytes() == (other / path).read_bytes() for path in files)
    records = [path for path in files if path.suffix in (".json", ".jsonl")]
    assert any((one / path).read_bytes() != (third / path).read_bytes() for path in records)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_written_passes_the_check_of_its_format(
    name: str, split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in write(name, split, 12, tmp_path):
        expected = "caption" if "captions" in path.name else name.partition("-")[0]
        assert check([str(path), "--format", expected]) == 0, capsys.readouterr().out


def test_the_command_says_which_files_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["surf", "--split", "test", "--count", "2", "--out", str(tmp_path)]) == 0
    records, captions = capsys.readouterr().out.split()
    assert len(json.loads(Path(records).read_text(encoding="utf-8"))) == 2
    assert len(json.loads(Path(captions).read_text(encoding="utf-8"))) == 20


def test_what_is_written_as_m_beir_is_read_by_the_evaluation_and_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write("mbeir", "test", 20, tmp_path)
    for path in written:
        assert check([str(path), "--images", str(tmp_path)]) == 0, capsys.readouterr().out
    assert mbeir_files.task_names(tmp_path) == list(mbeir.TASKS)
    for name in mbeir.TASKS:
        task = mbeir_files.read_task(tmp_path, name)
        assert len(task.queries) == 20
        assert len(task.pool) == 80
        known = {candidate.did for candidate in task.pool}
        assert all(task.relevant[query.qid] <= known for query in task.queries)


# --- articles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_gold_images_are_pictures_of_what_their_section_is_about(split: Split) -> None:
    for article in articles(split):
        for paragraph in summarise(article, split)[1:]:
            assert paragraph.section is not None
            topic = article.sections[paragraph.section].topic
            own = article.sections[paragraph.section].illustrations
            assert (paragraph.image is not None) == any(shown.belongs for shown in own)
            if paragraph.image is None:
                continue
            shown = article.illustrations[paragraph.image - 1]
            assert shown in own
            assert shown.belongs
            assert (shown.picture.item, shown.picture.colour) == (topic.item, topic.colour)
            assert paragraph.caption == shown.caption


def test_pictures_astray_look_like_no_section_and_are_in_no_answer() -> None:
    astray = 0
    for article in articles("test"):
        told = {(section.topic.item, section.topic.colour) for section in article.sections}
        gold = {paragraph.image for paragraph in summarise(article, "test")}
        for number, shown in enumerate(article.illustrations, start=1):
            if not shown.belongs:
                astray += 1
                assert (shown.picture.item, shown.picture.colour) not in told
                assert number not in gold
    assert astray > len(MANY) / 3


def test_where_the_text_never_names_the_thing_only_a_line_of_its_own_tells_what_is_astray() -> None:
    hidden = 0
    for article in articles("train"):
        for section in article.sections:
            if section.names or section.topic.item is None:
                continue
            hidden += 1
            name = lexicon.load().items[section.topic.item].say(article.language)
            text = " ".join((section.heading, *section.sentences)).lower()
            assert not re.search(rf"\b{name}\b", text) or article.language == "zh"
            assert section.illustrations[0].belongs
            assert all(shown.belongs or shown.aside for shown in section.illustrations)
            # A picture behind the line would seem to be announced by it.
            assert all(not shown.aside for shown in section.illustrations[:-1])
    assert hidden > 10


def test_questions_are_answered_by_the_sections_they_name() -> None:
    by_picture = two = 0
    for article in articles("test"):
        answered = ask(article, "test")
        assert [paragraph.section for paragraph in answered.paragraphs] == list(answered.sections)
        by_picture += answered.by_picture
        two += len(answered.sections) == 2
        for paragraph in answered.paragraphs:
            assert paragraph.section is not None
            topic = article.sections[paragraph.section].topic
            assert all(
                fact in paragraph.text.lower() for fact in (topic.person, topic.place, topic.day)
            )
    assert by_picture > 5
    assert two > 5


@pytest.mark.parametrize("captioned", [True, False])
def test_documents_mark_every_image_in_order_and_answers_refer_to_them(captioned: bool) -> None:
    for number in range(20):
        article = make_article(SEED, "test", number)
        kind: imageref.Kind = "summary" if number % 2 else "question"
        record = imageref.record(article, "test", kind, "n", keep, captioned=captioned)
        asked, answered = (turn["value"] for turn in record["conversations"])
        marks = re.findall(r"^IMAGE_(\d+): <image>$", asked, re.MULTILINE)
        assert marks == [str(place) for place in range(1, len(record["image"]) + 1)]
        captions = re.findall(r"!\[([^\]]+)\]\((IMAGE_\d+)\)", answered)
        named = re.findall(r"IMAGE_\d+", answered)
        assert [name for _, name in captions] == (named if captioned else [])
        assert asked.startswith(imageref.SUMMARY_PROMPT) == (kind == "summary")
        longest = max(len(line) for line in answered.split("\n") if not line.startswith("!"))
        assert longest <= 100 or article.language == "en"


def test_the_gold_of_inserting_images_has_one_position_for_each_heading() -> None:
    article = make_article(SEED, "test", 1)
    user, gold = imageref.insertion(article, "test")
    predictions = json.loads(gold)["predictions"]
    assert len(predictions) == len(article.sections) + 1
    assert all(f"\n\n{one['position']}\n\n" in user for one in predictions)
    images = [one["image"] for one in predictions if one["image"] != "Not Insert"]
    assert len(images) == len(set(images))
    assert all(f"]({image})" in user for image in images)


# --- product pages ----------------------------------------------------------------------------


def test_a_page_tells_the_facts_of_its_product_and_the_order_adds_up() -> None:
    for number in MANY:
        product = products.make_product(SEED, "test", number)
        page, order = products.make_page(product, "test"), products.make_order(product)
        told = " | ".join((page.name, *page.bullets))
        facts = (product.shop, str(product.price), product.delivery_day, str(product.return_days))
        assert all(fact in told for fact in facts)
        assert page.pictures[1].count == product.count
        assert len(page.captions) == len(page.pictures)
        assert order.total == order.packs * product.price


# --- screens and talks ------------------------------------------------------------------------


def test_labels_are_the_published_ones_and_all_can_be_drawn() -> None:
    pages = pages_lexicon.load()
    assert len(mire.INTENTS) == 23
    assert len(mire.SCENES) == 25
    assert set(pages.intents) == set(pages.cues) == set(mire.INTENTS)
    assert set(pages.scenes) == set(mire.SCENES)
    assert set(mire.SCENES) > mire.NOT_EVALUATED


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_scene_and_cue_is_drawn_and_equal_specs_have_equal_pixels(split: Split) -> None:
    rng = random.Random(SEED)
    topic = products.draw_thing(rng, "en", split)
    seen = set()
    for label in (*mire.SCENES, *mire.INTENTS):
        make = screenshots.scene if label in mire.SCENES else screenshots.cue
        spec = make(label, topic, split, rng)
        image = render(spec)
        assert image.size == ((168, 336) if label in mire.SCENES else (168, 168))
        assert image.tobytes() == render(spec).tobytes()
        seen.add(image.tobytes())
    assert len(seen) == len(mire.SCENES) + len(mire.INTENTS)


def test_some_talks_have_the_same_words_and_another_picture_and_label() -> None:
    twins = 0
    for number in range(200):
        talk, twin = (mire.make_talk(SEED, "test", number, twin=twin) for twin in (False, True))
        if talk.by != "picture":
            assert twin == talk
            continue
        twins += 1
        assert twin.text == talk.text
        assert twin.label != talk.label
        assert len(talk.pictures) == len(twin.pictures) == 1
        assert render(talk.pictures[0]).tobytes() != render(twin.pictures[0]).tobytes()
        assert mire.intent_record(talk, keep)["id"] != mire.intent_record(twin, keep)["id"]
    assert twins > 40


def test_intents_that_the_text_tells_are_asked_last_and_in_words_of_their_own_label() -> None:
    for number in range(200):
        talk = mire.make_talk(SEED, "train", number)
        who, said = talk.lines[-1]
        assert who == "用户"
        asks = pages_lexicon.load().intents[talk.label][talk.language].root["asks"]
        assert (said in asks) == (talk.by != "picture")


def test_prompts_are_published_ones() -> None:
    talk = mire.intent_record(mire.make_talk(SEED, "train", 0), keep)
    assert talk["instruction"].startswith("你是一个电商客服专家，请根据用户与客服的多轮对话")
    assert talk["instruction"].endswith('"何时上货","气泡"]\n')
    assert list(talk) == ["id", "instruction", "input", "output", "image"]
    assert re.fullmatch("[0-9a-f]{30}", talk["id"])
    scene = mire.scene_record(*mire.make_scene(SEED, "train", 0), keep)
    assert scene["instruction"].startswith("Picture 1: <image>\n你是一个电商领域识图专家")
    assert scene["instruction"].endswith('"外部APP截图","其他类别图片"]。')
    assert surf.prompt(["a", "b"], "Q", "inference") == (
        "<Retrieval> 1. <image> a\n2. <image> b\n </Retrieval>\n<image> Q"
    )
    assert surf.prompt(["a", "b"], "Q", "training") == (
        "<Retrieval>1. <image> a \n2. <image> b \n</Retrieval> <image>\nQ"
    )


# --- questions about pictures -----------------------------------------------------------------


@pytest.mark.parametrize("language", lexicon.LANGUAGES)
def test_references_help_exactly_where_they_give_the_same_answer(
    language: lexicon.Language,
) -> None:
    asked = set()
    for number in MANY:
        question = make_question(SEED, "test", number, language=language)
        asked.add(question.asked)
        assert len(question.references) == 10
        assert {one.helps for one in question.references} == {True, False}
        distances = [one.distance for one in question.references]
        assert distances == sorted(distances)
        if question.asked == "presence":
            continue  # its answer is no word of a caption
        for one in question.references:
            answer = answer_of(question.asked, one.picture, one.picture.item, language)
            assert (answer == question.answer) == one.helps
            assert answer in one.caption
    assert asked == set(ASKED)


def test_a_record_keeps_the_nearest_that_helps_and_then_the_nearest_that_misleads() -> None:
    for record, index in surf.records(SEED, "train", 10, lambda name, _: name):
        assert record["labels"] == [1, 0]
        places = [int(name.rpartition("-")[2]) for name in record["images"]]
        assert min(places) == 0  # the nearest of all is one of the two
        captions = {line["image"]: line["caption"] for line in index}
        asked = record["conversations"][0]["value"]
        assert all(captions[name] in asked for name in record["images"])


# --- what training never shows ----------------------------------------------------------------


def test_held_out_templates_are_never_drawn_in_training_and_are_outside_of_it() -> None:
    pages = pages_lexicon.load()
    lists = [*pages.articles.values(), *pages.products.values(), *pages.service.values()]
    lists += [*pages.questions.values(), *pages.cues.values(), *pages.scenes.values()]
    lists += [one for intent in pages.intents.values() for one in intent.values()]
    rng = random.Random(SEED)
    for one in lists:
        names = [name for name in one.root if not name.endswith("_held_out")]
        for name in names:
            common, rare = set(one.root[name]), set(one.root[f"{name}_held_out"])
            assert {one.draw(name, "train", rng) for _ in range(40)} <= common
            drawn = {one.draw(name, "test", rng) for _ in range(80)}
            assert drawn & rare
            assert drawn & common


def test_articles_for_training_hold_no_sentence_of_a_held_out_template() -> None:
    pages = pages_lexicon.load().articles
    found = dict.fromkeys(get_args(Split), 0)
    for split in ("train", "test"):
        for article in articles(split):
            templates = (*pages[article.language].root["leads_held_out"],)
            patterns = [as_pattern(str(template)) for template in templates]
            leads = [section.sentences[0] for section in article.sections]
            found[split] += sum(
                one.fullmatch(lead) is not None for one in patterns for lead in leads
            )
    assert found["train"] == 0
    assert found["test"] > 0


def test_training_shows_no_held_out_pair_of_a_thing_and_a_colour() -> None:
    shown: list[PictureSpec] = []
    for number in MANY:
        shown += [one.picture for one in make_article(SEED, "train", number).illustrations]
        product = products.make_product(SEED, "train", number)
        shown += products.make_page(product, "train").pictures
        question = make_question(SEED, "train", number)
        shown += [question.picture, *(one.picture for one in question.references)]
        shown.append(mire.make_scene(SEED, "train", number)[1].picture())
    assert not [one.ref() for one in shown if held_out(one.item, one.colour)]
    assert not [one.ref() for one in shown if one.beside and held_out(*one.beside)]


def test_a_list_without_a_held_out_sibling_or_with_a_shared_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="asks needs asks_held_out"):
        pages_lexicon.Lists.model_validate({"asks": ("one",)})
    with pytest.raises(ValueError, match="asks needs asks_held_out"):
        pages_lexicon.Lists.model_validate({"asks": ("one",), "asks_held_out": ("one",)})
