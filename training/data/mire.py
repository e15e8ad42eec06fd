"""MIRE's records: scenes of screenshots, and intents of talks between a customer and a service.

The prompts are published ones, to the letter. Some talks say nothing of the intent: there the
picture alone tells it, and each has a twin of the same words with another picture.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from training.data.world import pages_lexicon, products, screenshots
from training.data.world.facts import Split, Topic
from training.data.world.lexicon import LANGUAGES, Language
from training.data.world.screenshots import Save, ScreenSpec

INTENTS = (
    "反馈密封性不好", "是否好用", "是否会生锈", "排水方式", "包装区别", "发货数量", "反馈用后症状",
    "商品材质", "功效功能", "是否易褪色", "适用季节", "能否调光", "版本款型区别", "单品推荐",
    "用法用量", "控制方式", "上市时间", "商品规格", "信号情况", "养护方法", "套装推荐", "何时上货",
    "气泡",
)  # fmt: skip
SCENES = (
    "实物拍摄(含售后)", "商品分类选项", "商品头图", "商品详情页截图",
    "下单过程中出现异常（显示购买失败浮窗）", "订单详情页面", "支付页面", "消费者与客服聊天页面",
    "评论区截图页面", "物流页面-物流列表页面", "物流页面-物流跟踪页面", "物流页面-物流异常页面",
    "退款页面", "退货页面", "换货页面", "购物车页面", "店铺页面", "活动页面", "优惠券领取页面",
    "账单/账户页面", "个人信息页面", "投诉举报页面", "平台介入页面", "外部APP截图", "其他类别图片",
)  # fmt: skip
NOT_EVALUATED = frozenset({"消费者与客服聊天页面", "个人信息页面"})
"""Scenes that the prompt lists and the challenge struck out."""

_INTENT_HEAD = "你是一个电商客服专家，请根据用户与客服的多轮对话判断用户的意图分类标签。\n"
_TALK_START, _TALK_END = "<用户与客服的对话 START>\n", "<用户与客服的对话 END>\n"
_INTENT_ASK = "请直接只输出分类标签结果，不需要其他多余的话。以下是可以参考的分类标签为："
_SCENE_ASK = (
    "Picture 1: <image>\n你是一个电商领域识图专家,可以理解消费者上传的软件截图或实物拍摄图。现在,"
    "请你对消费者上传的图片进行分类。你只需要回答图片分类结果,不需要其他多余的话。以下是可以参考的分类标签,"
    "分类标签:"
)
_CUSTOMER, _SERVICE = "用户", "客服"
_MUTE_SCENES = ("商品头图", "商品详情页截图", "实物拍摄(含售后)")

By = Literal["text", "picture", "both"]


@dataclass(frozen=True, slots=True)
class Talk:
    """What a customer and a service said.

    Attributes:
        lines: who spoke, and a text or a picture; the last is the customer's question.
        label: one of `INTENTS`, of the last question.
        by: what tells the label.
    """

    id: str
    language: Language
    lines: tuple[tuple[str, str | ScreenSpec], ...]
    label: str
    by: By

    @property
    def pictures(self) -> tuple[ScreenSpec, ...]:
        return tuple(said for _, said in self.lines if isinstance(said, ScreenSpec))

    @property
    def text(self) -> str:
        """The talk as it stands in the prompt."""
        return "".join(
            f"{who}: {said if isinstance(said, str) else '<image>'}\n" for who, said in self.lines
        )


def make_talk(
    seed: int, split: Split, number: int, *, language: Language | None = None, twin: bool = False
) -> Talk:
    """Writes a talk; equal arguments give an equal one.

    Args:
        twin: of a talk that only its picture tells, the one with the same words, another picture
            and another label; of other talks, the talk itself.
    """
    name = f"world-2/{seed}/{split}/{number}"
    rng = random.Random(f"{name}/talk")
    if language is None:
        language = rng.choices(LANGUAGES, (1, 3))[0]
    by: By = rng.choices(("text", "picture", "both"), (40, 35, 25))[0]
    label, other, earlier = rng.sample(INTENTS, 3)
    topic = products.draw_thing(rng, language, split)
    before = _before(earlier, topic, language, split, rng)
    words = pages_lexicon.load()
    if by == "picture":
        question = words.service[language].pick("vague", split, rng)
        label = other if twin else label
    else:
        question = words.intents[label][language].pick("asks", split, rng)
    # From here on the label may change what is drawn; all words are there already.
    wait = words.service[language].pick("waits", split, rng) if rng.random() < 0.5 else None
    scene = rng.choice(_MUTE_SCENES)
    picture = (
        screenshots.scene(scene, topic, split, rng)
        if by == "text"
        else screenshots.cue(label, topic, split, rng)
    )
    lines = [*before, (_CUSTOMER, picture)]
    if wait:
        lines.append((_SERVICE, wait))
    lines.append((_CUSTOMER, question))
    identity = f"{name}/twin" if twin and by == "picture" else name
    return Talk(identity, language, tuple(lines), label, by)


def make_scene(seed: int, split: Split, number: int) -> tuple[str, ScreenSpec, str]:
    """Draws a screenshot: its id, the screen, and one of `SCENES`."""
    name = f"world-2/{seed}/{split}/{number}"
    rng = random.Random(f"{name}/scene")
    topic = products.draw_thing(rng, rng.choice(LANGUAGES), split)
    label = rng.choice(SCENES)
    return name, screenshots.scene(label, topic, split, rng), label


def intent_record(talk: Talk, save: Save) -> dict[str, Any]:
    """The published record of a talk."""
    name = hashlib.sha256(talk.id.encode()).hexdigest()[:30]
    instruction = (
        f"{_INTENT_HEAD}{_TALK_START}{talk.text}{_TALK_END}{_INTENT_ASK}{_listed(INTENTS)}\n"
    )
    paths = [save(f"{name}-{place}", shown) for place, shown in enumerate(talk.pictures)]
    return _record(name, instruction, talk.label, paths)


def scene_record(id: str, screen: ScreenSpec, label: str, save: Save) -> dict[str, Any]:
    """The published record of a screenshot."""
    digits = hashlib.sha256(f"{id}/scene".encode()).hexdigest()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32])
    name = "-".join((*parts, "0"))
    return _record(name, f"{_SCENE_ASK}{_listed(SCENES)}。", label, [save(name, screen)])


def records(seed: int, split: Split, count: int, save: Save) -> Iterator[dict[str, Any]]:
    """Yields `count` talks and screenshots in turn, a twin right behind its talk."""
    made = 0
    number = 0
    while made < count:
        talk = make_talk(seed, split, number)
        found = [intent_record(talk, save)]
        if talk.by == "picture":
            found.append(intent_record(make_talk(seed, split, number, twin=True), save))
        found.append(scene_record(*make_scene(seed, split, number), save))
        yield from found[: count - made]
        made += len(found)
        number += 1


def _before(
    earlier: str, topic: Topic, language: Language, split: Split, rng: random.Random
) -> list[tuple[str, str | ScreenSpec]]:
    """What was said before the picture came: at times another intent, which is settled."""
    words = pages_lexicon.load()
    service = words.service[language]
    said: list[tuple[str, str | ScreenSpec]] = []
    if rng.random() < 0.5:
        said.append((_CUSTOMER, service.pick("smalltalk", split, rng)))
        greeting = service.pick("greetings", split, rng).format(shop=topic.shop)
        said.append((_SERVICE, greeting))
    if rng.random() < 0.3:
        said.append((_CUSTOMER, words.intents[earlier][language].pick("asks", split, rng)))
        said.append((_SERVICE, service.pick("replies", split, rng)))
    return said


def _listed(labels: tuple[str, ...]) -> str:
    return json.dumps(labels, ensure_ascii=False, separators=(",", ":"))


def _record(id: str, instruction: str, label: str, images: list[str]) -> dict[str, Any]:
    return {"id": id, "instruction": instruction, "input": "", "output": label, "image": images}
