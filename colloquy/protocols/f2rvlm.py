"""F2RVLM: retrieve from one dialogue the utterances and pictures that answer a query; and its
splitter, which cuts a dialogue into topics.

Source: F2RVLM (arXiv:2508.17714) and FFRS (arXiv:2606.04591) with their released code. The prompts
are wire formats: full- and half-width punctuation, trailing spaces and the last line break are
what the published checkpoints were trained on.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from colloquy.contracts.content import ImagePart, Utterance
from colloquy.protocols.plaintext import neutralise
from colloquy.protocols.prompt import IMAGE as IMAGE
from colloquy.protocols.prompt import Malformed as Malformed
from colloquy.protocols.prompt import Prompt as Prompt

MAX_PIXELS = 602_112
"""The published picture budget, 768 patches of 28x28 pixels."""

MAX_TURNS = 100
"""Longer dialogues are sliced, as upstream."""

SPLIT_TAIL = 3
"""A splitter that closes its answer at most so many turns before the end has lost count."""

FRAGMENT_SYSTEM = "你是一个多模态信息检索助手。"
SPLIT_SYSTEM = "你是一个多模态对话分段助手。"

_FRAGMENT_USER = """请根据下列多模态长对话内容,检索与<|query_start|>{query}<|query_end|>匹配的句子和图片.
要求: 
1.检索结果以句子ID和图片ID输出，若不存在匹配的句子或图片，对应部分返回空列表
2.格式严格遵循:<|utt_ids_start|>[句子ID列表]<|utt_ids_end|>;<|img_ids_start|>[图片ID列表]<|img_ids_end|>

对话内容: {block}
"""  # noqa: E501, W291

_SPLIT_USER = """请根据下列多模态长对话内容，按照主题语义将对话划分为多个子片段。

每条发言以<|utt_id_start|>句子ID<|utt_id_end|>标注，可能为文本、图像。请将语义连贯的句子归为一组。

输出格式严格为：[[id,id,...],[id,...],...]，仅输出句子ID，不含其他内容。

对话内容如下：
{block}"""

_STRICT_ANSWER = re.compile(
    r"<\|utt_ids_start\|>\[(?P<utt>[\d,\s]*)\]<\|utt_ids_end\|>;"
    r"<\|img_ids_start\|>\[(?P<img>[\d,\s]*)\]<\|img_ids_end\|>"
)
# A sign or a fraction belongs to the number, so that `-3` and `1.5` are not read as ids.
_LOOSE_NUMBER = re.compile(r"(?<![0-9])-?[0-9]+(?:\.[0-9]+)?")
_LINE_START = re.compile(r"<\|utt_id_start\|>([0-9]{1,9})<\|utt_id_end\|> ")
_NUMBERED_IMAGE = re.compile(r"<\|img_id_start\|>[0-9]+<\|img_id_end\|><image>")
# The only marks a split may hold; anything else is kept from Python's own parser.
_SPLIT_MARKS = re.compile(r"[\s\d,\[\]()]*", re.ASCII)
# A model may write any digits; an id longer than this names nothing and would only cost time.
_MAX_ID_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """Which utterances and pictures answer the query; ids as the prompt numbered them."""

    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of turns of a longer dialogue.

    Utterance ids stay those of the dialogue; pictures are numbered from 0 within the slice, as
    upstream, so `first_image` turns a local picture id into the dialogue's.
    """

    turns: tuple[Utterance, ...]
    first_image: int

    @property
    def utterance_ids(self) -> list[int]:
        return [turn.id for turn in self.turns]

    @property
    def image_count(self) -> int:
        return sum(len(turn.images) for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance as a prompt shows it: `text` keeps `<image>` where pictures stand."""

    id: int
    speaker: str
    text: str


# --- render -----------------------------------------------------------------------------------


def render_fragment(turns: Sequence[Utterance], query: str) -> Prompt:
    """The published retrieval prompt over `turns`, which need not start at id 0 (see `Slice`)."""
    block, images = _block(turns, numbered=True)
    user = _FRAGMENT_USER.format(query=neutralise(query), block=block)
    return Prompt(FRAGMENT_SYSTEM, user, images)


def render_split(turns: Sequence[Utterance]) -> Prompt:
    """The published splitting prompt; pictures carry no ids in it."""
    block, images = _block(turns, numbered=False)
    return Prompt(SPLIT_SYSTEM, _SPLIT_USER.format(block=block), images)


def format_answer(utterance_ids: Sequence[int], image_ids: Sequence[int]) -> str:
    """The answer as the models are trained to write it."""
    utterances, images = json.dumps(list(utterance_ids)), json.dumps(list(image_ids))
    return f"<|utt_ids_start|>{utterances}<|utt_ids_end|>;<|img_ids_start|>{images}<|img_ids_end|>"


def format_split(fragments: Sequence[Sequence[int]]) -> str:
    return json.dumps([list(fragment) for fragment in fragments])


def _block(turns: Sequence[Utterance], *, numbered: bool) -> tuple[str, tuple[str, ...]]:
    images: list[str] = []
    lines = []
    for turn in turns:
        name = turn.speaker
        # Cased before it is neutralised: `<IMAGE>` must not become a placeholder by lower-casing.
        speaker = _speaker(name.lower() if numbered else name[:1].upper() + name[1:])
        text = ""
        for run in _runs(turn):
            if isinstance(run, str):
                text += run
            else:
                tag = f"<|img_id_start|>{len(images)}<|img_id_end|>" if numbered else ""
                text += tag + IMAGE
                images.append(run.image_url.url)
        lines.append(f"<|utt_id_start|>{turn.id}<|utt_id_end|> {speaker}: {text}")
    return "\n".join(lines), tuple(images)


def _speaker(name: str) -> str:
    # The first ": " of a line ends the speaker, so a name cannot hold a half-width colon.
    return neutralise(name).replace(":", "：")


def _runs(turn: Utterance) -> Iterator[str | ImagePart]:
    """Pictures, and the text between them as one neutralised piece.

    Adjacent text parts are joined before they are neutralised: a tag may be spread over two.
    """
    texts: list[str] = []
    for part in turn.parts:
        if isinstance(part, ImagePart):
            if texts:
                yield neutralise(" ".join(texts))
                texts = []
            yield part
        else:
            texts.append(part.text)
    if texts:
        yield neutralise(" ".join(texts))


# --- grammar ----------------------------------------------------------------------------------


def fragment_grammar(utterance_ids: Sequence[int], image_count: int) -> str:
    """EBNF that admits exactly the answers over the ids that exist: ascending, each at most once.

    Its size is linear in the ids; there is one derivation for each answer.
    """
    rules = [
        'root ::= "<|utt_ids_start|>[" utts "]<|utt_ids_end|>;'
        '<|img_ids_start|>[" imgs "]<|img_ids_end|>"'
    ]
    rules += _subset_rules("utts", utterance_ids)
    rules += _subset_rules("imgs", range(image_count))
    return "\n".join(rules)


def _subset_rules(name: str, ids: Sequence[int]) -> list[str]:
    """Rules for `name`: the empty list, or ascending ids joined by ", ".

    Halved again and again, not chained: the rules nest as deep as the logarithm of the ids, which
    compiles ten times sooner for 1000 ids and makes each step of the decoder cheaper.
    """
    if not ids:
        return [f'{name} ::= ""']
    rules = [f'{name} ::= "" | {name}_0_{len(ids)}']
    open_runs = [(0, len(ids))]
    while open_runs:
        start, end = open_runs.pop()
        rule = f"{name}_{start}_{end}"
        if end - start == 1:
            rules.append(f'{rule} ::= "{ids[start]}"')
            continue
        middle = (start + end) // 2
        left, right = f"{name}_{start}_{middle}", f"{name}_{middle}_{end}"
        rules.append(f'{rule} ::= {left} (", " {right})? | {right}')
        open_runs += [(middle, end), (start, middle)]
    return rules


def split_grammar(utterance_ids: Sequence[int]) -> str:
    """EBNF of the partitions of the turns into runs of neighbours.

    After each id there is one choice: go on, or begin a new fragment. So no utterance is in two
    fragments, by form alone. Only the last `SPLIT_TAIL` may be in none, until `with_tail` adds
    them: a model that is kept from closing puts them into a fragment that it does not mean.
    """
    if not utterance_ids:
        raise ValueError("a dialogue without turns cannot be split")
    first, *others = utterance_ids
    certain = max(0, len(others) - SPLIT_TAIL)
    body = " ".join(f'next "{number}"' for number in others[:certain])
    tail = ""
    for number in reversed(others[certain:]):
        tail = f'(next "{number}" {tail})?'
    return f'root ::= "[[{first}" {body} {tail} "]]"\nnext ::= ", " | "], ["'


# --- parse ------------------------------------------------------------------------------------


def parse_answer(text: str) -> Answer:
    """Reads an answer of exactly the published form.

    Raises:
        Malformed: anything else, a trailing line break included.
    """
    match = _STRICT_ANSWER.fullmatch(text)
    if match is None:
        raise Malformed("the answer does not have the published form")
    return Answer(_strict_ids(match["utt"]), _strict_ids(match["img"]))


def parse_answer_tolerant(text: str) -> Answer:
    """Reads what a foreign checkpoint wrote: the id lists wherever they stand, else empty lists.

    Duplicates are dropped, order is kept. Never raises: no text crashes it.
    """
    utterances = _between(text, "<|utt_ids_start|>", "<|utt_ids_end|>")
    images = _between(text, "<|img_ids_start|>", "<|img_ids_end|>")
    return Answer(_loose_ids(utterances or ""), _loose_ids(images or ""))


def parse_split(text: str) -> list[list[int]]:
    """Reads `[[ids], [ids]]`, as JSON or as a Python literal, as upstream does.

    Raises:
        Malformed: not a list of lists of non-negative whole numbers.
    """
    if _SPLIT_MARKS.fullmatch(text) is None:
        raise Malformed("the split is not a list of lists")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
            raise Malformed("the split is not a list of lists") from error
    if not isinstance(value, list) or not all(
        isinstance(fragment, list) and all(type(i) is int and i >= 0 for i in fragment)
        for fragment in value
    ):
        raise Malformed("the split is not a list of lists of utterance ids")
    return value


def with_tail(fragments: Sequence[Sequence[int]], utterance_ids: Sequence[int]) -> list[list[int]]:
    """The fragments; the last turns join the one before them if at most `SPLIT_TAIL` are missing.

    What else is missing stays so.
    """
    groups = [list(fragment) for fragment in fragments]
    told = {number for group in groups for number in group}
    kept = [number for number in utterance_ids if number in told]
    left = list(utterance_ids[len(kept) :])
    if kept == list(utterance_ids[: len(kept)]) and kept and len(left) <= SPLIT_TAIL:
        next(group for group in groups if kept[-1] in group).extend(left)
    return groups


def is_partition(fragments: Sequence[Sequence[int]], utterance_ids: Sequence[int]) -> bool:
    """Whether every utterance is in exactly one fragment and none is invented."""
    return sorted(i for fragment in fragments for i in fragment) == sorted(utterance_ids)


def parse_query(user: str) -> str:
    """The query of a rendered fragment prompt.

    Raises:
        Malformed: the prompt holds no query tags.
    """
    query = _between(user, "<|query_start|>", "<|query_end|>")
    if query is None:
        raise Malformed("the prompt holds no query")
    return query


def parse_lines(user: str) -> list[Line]:
    """The dialogue block of a rendered prompt, line by line, picture tags reduced to `<image>`."""
    lines = []
    for row in user.split("\n"):
        tag = _LINE_START.search(row)
        if tag is not None:
            speaker, found, text = row[tag.end() :].partition(": ")
            if found:
                lines.append(Line(int(tag[1]), speaker, _NUMBERED_IMAGE.sub(IMAGE, text)))
    return lines


def _strict_ids(inner: str) -> tuple[int, ...]:
    if not inner.strip():
        return ()
    try:
        return tuple(int(number) for number in inner.split(","))
    except ValueError as error:
        raise Malformed("an id list is not whole numbers between commas") from error


def _loose_ids(inner: str) -> tuple[int, ...]:
    numbers = _LOOSE_NUMBER.findall(inner)
    return tuple(dict.fromkeys(int(n) for n in numbers if n.isdigit() and len(n) <= _MAX_ID_DIGITS))


def _between(text: str, start: str, end: str) -> str | None:
    """What stands between the first `start` and the next `end`; linear, whatever the text is."""
    _, found, rest = text.partition(start)
    inner, closed, _ = rest.partition(end)
    return inner if found and closed else None


# --- long dialogues ---------------------------------------------------------------------------


def slice_turns(
    turns: Sequence[Utterance], *, max_turns: int = MAX_TURNS, overlap_turns: int = 0
) -> list[Slice]:
    """Cuts a dialogue into slices of at most `max_turns`, each `overlap_turns` into the last.

    A dialogue that fits is one slice. Upstream's slices do not overlap as far as its code shows;
    an overlap lets a fragment that lies across a cut be seen whole, and the union of the answers
    is the same operation.
    """
    if not 0 <= overlap_turns < max_turns:
        raise ValueError("the overlap must be shorter than a slice")
    slices = []
    start = 0
    while True:
        part = tuple(turns[start : start + max_turns])
        first_image = sum(len(turn.images) for turn in turns[:start])
        slices.append(Slice(part, first_image))
        if start + max_turns >= len(turns):
            return slices
        start += max_turns - overlap_turns


def merge_answers(answers: Sequence[tuple[Slice, Answer]]) -> Answer:
    """The union over slices, in the dialogue's own ids, ascending; ids outside a slice drop out."""
    utterances: set[int] = set()
    images: set[int] = set()
    for part, answer in answers:
        utterances |= set(answer.utterance_ids) & set(part.utterance_ids)
        images |= {part.first_image + i for i in answer.image_ids if 0 <= i < part.image_count}
    return Answer(tuple(sorted(utterances)), tuple(sorted(images)))
