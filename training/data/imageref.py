"""ImageRef-VL's records: news with marked images, and answers in Markdown that refer to them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from training.data.world.article_answers import Paragraph, ask, summarise
from training.data.world.articles import Article, Section, make_article
from training.data.world.facts import Split
from training.data.world.screenshots import Save

# Published; two of its lines end in blanks. What follows it is the text of the news.
SUMMARY_PROMPT = (
    "给定一系列相关事件的新闻（包含图片和文字），提取关键信息并生成简洁的图文总结，"
    "使用 Markdown 格式：\n"
    "```\n"
    "# 标题\n"
    "概述事件核心内容（不超过100字）。  \n"
    "![标题相关图片描述](IMAGE_i) （如有相关图片）\n"
    "\n"
    "### 小标题\n"
    "相关信息概述（不超过100字）。  \n"
    "![小标题相关图片描述](IMAGE_j) （如有相关图片）\n"
    "\n"
    "### 小标题\n"
    "相关信息概述（不超过100字）。  \n"
    "![小标题相关图片描述](IMAGE_k) （如有相关图片）\n"
    "...\n"
    "```\n"
    "\n"
    "要求：\n"
    "1. 生成 3-5 个小标题段落，灵活调整段落数量。\n"
    "2. 标题下方可插入一张与整体新闻相关的图片（如概述图、公司logo等），其余段落根据内容"
    "插入相关图片（如无相关图片可省略）。\n"
    "3. 每段不超过 100 字，插图使用 `![图片描述](IMAGE_x)` 格式，其中“图片描述”概述该图片内容，"
    "`IMAGE_x` 为原新闻图片标号。\n"
)
# Ours: the published prompt only asks for summaries.
QUESTION_PROMPT = (
    "根据以下新闻（包含图片和文字）回答问题，使用 Markdown 格式，"
    "插图使用 `![图片描述](IMAGE_x)` 格式，只插入相关图片。\n"
)
QUESTION = "问题：{question}"
# Published, like the turn of the user below: `i4p-ic`, without its few shots.
INSERT_SYSTEM = (
    "你是一个专业的新闻编辑，擅长于分析给定的新闻文本，并根据段落内容插入合适的图片。你会"
    "收到一段新闻文本和一些图片的描述。新闻中有一些图像插入点（格式为 <Position i>），这"
    "些插入点基于新闻的段落划分，每个段落标题后都预留了一个插入点。请分析每张图片与新闻内"
    "容的相关性，并按以下要求决定是否插入：\n"
    "\n"
    "1. 请插入与插入点所在段落最匹配的图片。分析段落内容时请基于段落标题与段落文字共同分"
    "析，而不仅仅基于段落标题。\n"
    "2. 每段最多插入一张相关图片，如无相关的图片则不插入。\n"
    "3. 图片中的人物身份不明确时，请勿猜测新闻人物进行插入。\n"
    "4. 每张图片只能插入到一个段落中，已经插入文章的图片请勿插入到其他位置。\n"
    "5. 对于第一个插入点(<Position 1>)，除了考虑段落相关性外，还要考虑该图片是否适合作为"
    "新闻的头图，可以是新闻的概述或具有代表性的图片，如公司标志、重要人物等。\n"
    "\n"
    "对于每个插入位置，请分析插入点所在段落主旨，确定适合插入的图片类型和内容。从提供的图"
    "片中选择相关图片并说明原因。如无相关图片，请标记为'Not Insert'并解释原因。\n"
    "\n"
    "请将结果以如下JSON格式返回：\n"
    "```json\n"
    "{\n"
    '    "predictions": [\n'
    "        {\n"
    '            "position": "<Position 1>",\n'
    '            "analysis": "分析段落主旨和适合的图片类型与内容",\n'
    '            "image": "相关图片序号（如 IMAGE_i）或\'Not Insert\'",\n'
    '            "explanation": "解释选择该图片或不插入的原因"\n'
    "        },\n"
    "        ...\n"
    "    ]\n"
    "}\n"
    "```\n"
)
INSERT_USER = (
    "图片描述:\n[图片的开始]\n{captions}\n[图片的结束]\n\n新闻文本:\n[新闻文本的开始]\n{text}\n"
    "[新闻文本的结束]\n\n请直接按照指定JSON格式返回新闻文本中{count}个图像插入点的插图结果。"
)

Kind = Literal["summary", "question"]


def document(article: Article) -> str:
    """The text of the news; each image stands as `IMAGE_k: <image>`, k from 1, on its own line."""
    lines = [article.title]
    count = 0
    for section in article.sections:
        lines.append("")
        lines.append(section.heading)
        for line in _lines(section, article.language == "en"):
            if line is None:
                count += 1
                line = f"IMAGE_{count}: <image>"
            lines.append(line)
    return "\n".join(lines)


def answer(paragraphs: Sequence[Paragraph], *, captioned: bool = True) -> str:
    """Markdown whose lines are parted by blank ones; upstream's evaluation reads it so.

    Args:
        captioned: write `![caption](IMAGE_k)`; else a line is `IMAGE_k` alone.
    """
    lines = []
    for paragraph in paragraphs:
        mark = "#" if paragraph.section is None else "###"
        lines += [f"{mark} {paragraph.heading}", paragraph.text]
        if paragraph.image is not None:
            image = f"IMAGE_{paragraph.image}"
            lines.append(f"![{paragraph.caption}]({image})" if captioned else image)
    return "\n\n".join(lines)


def record(
    article: Article, split: Split, kind: Kind, name: str, save: Save, *, captioned: bool = True
) -> dict[str, Any]:
    """A conversation in InternVL's format, as published.

    Args:
        kind: "summary" has the published prompt, "question" ours.
        name: of the record, and the beginning of its pictures' names.
    """
    if kind == "summary":
        asked, paragraphs = f"{SUMMARY_PROMPT}{document(article)}", summarise(article, split)
    else:
        answered = ask(article, split)
        question = QUESTION.format(question=answered.text)
        asked = f"{QUESTION_PROMPT}{document(article)}\n\n{question}"
        paragraphs = answered.paragraphs
    images = [
        save(f"{name}-{number}", shown.picture)
        for number, shown in enumerate(article.illustrations, start=1)
    ]
    return {
        "id": name,
        "image": images,
        "conversations": [
            {"from": "human", "value": asked},
            {"from": "gpt", "value": answer(paragraphs, captioned=captioned)},
        ],
    }


def insertion(article: Article, split: Split) -> tuple[str, str]:
    """The published user turn of inserting images (`i4p-ic`) and its gold JSON.

    A position stands behind each heading of the summary; the system turn is `INSERT_SYSTEM`.
    """
    paragraphs = summarise(article, split)
    blocks = []
    predictions = []
    for place, paragraph in enumerate(paragraphs, start=1):
        mark = "#" if paragraph.section is None else "###"
        blocks += [f"{mark} {paragraph.heading}", f"<Position {place}>", paragraph.text]
        image = f"IMAGE_{paragraph.image}" if paragraph.image else "Not Insert"
        predictions.append(
            {
                "position": f"<Position {place}>",
                "analysis": paragraph.heading,
                "image": image,
                "explanation": paragraph.caption,
            }
        )
    captions = "\n".join(
        f"图像{number}: ![{shown.caption}](IMAGE_{number})"
        for number, shown in enumerate(article.illustrations, start=1)
    )
    user = INSERT_USER.format(captions=captions, text="\n\n".join(blocks), count=len(paragraphs))
    return user, json.dumps({"predictions": predictions}, ensure_ascii=False)


def records(
    seed: int, split: Split, count: int, save: Save, *, captioned: bool = True
) -> Iterator[dict[str, Any]]:
    """Yields a summary and a question in turn, of different articles."""
    kinds: tuple[Kind, Kind] = ("summary", "question")
    for number in range(count):
        article = make_article(seed, split, number)
        name = f"{split}-{number}"
        yield record(article, split, kinds[number % 2], name, save, captioned=captioned)


def _lines(section: Section, spaced: bool) -> Iterator[str | None]:
    """Text between images; None stands for the next image."""
    joint = " " if spaced else ""
    begin = 0
    for shown in section.illustrations:
        if shown.after >= begin:
            yield joint.join(section.sentences[begin : shown.after + 1])
            begin = shown.after + 1
        if shown.aside:
            yield shown.aside
        yield None
    if begin < len(section.sentences):
        yield joint.join(section.sentences[begin:])
