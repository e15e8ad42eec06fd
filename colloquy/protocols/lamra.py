"""LamRA: one multimodal model that embeds (LamRA-Ret) and one that reranks (LamRA-Rank).

Source: LamRA (arXiv:2412.01720) with its released code, in the two wordings that checkpoints were
trained on: `qwen2-vl` (the main branch) and `qwen2.5-vl`. The prompts are wire formats: runs of
spaces, the missing separators and the misspelt "responed" are what the checkpoints have seen.

Embedding reads the last hidden state of the prompt's last token, the line break that follows
`assistant`. Upstream reads it before a placeholder `<emb>` that causal attention cannot see, so
without the placeholder it is the same vector: ask for the generation prompt, pool the last token,
normalise.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from colloquy.contracts.content import TextPart, Utterance
from colloquy.protocols.plaintext import neutralise
from colloquy.protocols.prompt import IMAGE, Malformed, Prompt

Family = Literal["qwen2-vl", "qwen2.5-vl"]

MIN_PIXELS = 3_136
MAX_PIXELS = 235_200
"""The published picture budget, 300 patches of 28x28 pixels."""

PATCH_PIXELS = 28
MAX_LISTED = 10
"""Candidates of one listwise prompt; the published training shows up to five."""

SYSTEM = "You are a helpful assistant."
"""What the chat template of both families puts where no system turn is given."""

YES, NO = "Yes", "No"

FRAGMENT_INSTRUCTION = "Find the part of a conversation that answers the query."
"""Our task beside M-BEIR's sixteen: what a query for a fragment has before it."""

# Line continuations of the main branch's code, kept by its checkpoints.
_POINTWISE_GAP = {"qwen2-vl": " " * 24, "qwen2.5-vl": " "}
_LISTWISE_GAP = {"qwen2-vl": " " * 25, "qwen2.5-vl": " "}
_POINTWISE = (
    "I will provide you with a query and a candidate. Please evaluate whether the candidate{gap}"
    "meets the requirements of the query. If it does, respond with 'Yes'; if it doesn't, "
    "responed with 'No'."
)
_LISTWISE = (
    "I will provide you with a query followed by multiple candidates in the format: (1) cand1 "
    "(2) cand2, etc. Each candidate is independent of the others.{gap}Evaluate each candidate "
    "against the query, and respond with the number corresponding to the candidate that best "
    "meets the requirements of the query."
)
_CHOICE = re.compile(r"Ans: \(([1-9][0-9]?)\)")
_NUMBERING = re.compile(r"\((?=[0-9]{1,2}\) )")
# M-BEIR's ids, `dataset:number`, and how far apart its datasets lie when the two become one number.
_ID = re.compile(r"([0-9]{1,9}):([0-9]{1,9})", re.ASCII)
_QUERIES_APART = 500_000
_CANDIDATES_APART = 10_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A reference to a picture, where it stands in a content."""

    ref: str


Content = Sequence[str | Picture]
"""A query or a candidate. Published ones have pictures first, then one text."""


# --- text -------------------------------------------------------------------------------------


def format_string(text: str) -> str:
    """As upstream tidies every text: no carriage returns, a capital first, a stop at the end."""
    text = text.replace("\r", "").strip().strip('"')
    if text:
        text = text[0].upper() + text[1:]
        if text[-1] not in ".?!":
            text += "."
    return text


def query_text(instruction: str, text: str) -> str:
    """A query's text with the instruction of its task before it, as M-BEIR has them."""
    return format_string(f"{instruction} {text}".strip())


def fragment_content(utterances: Sequence[Utterance]) -> list[str | Picture]:
    """A fragment as a candidate: `speaker: text` for each turn, pictures where they stand.

    Turns follow each other after one space, since a prompt's texts hold no line breaks; the texts
    themselves are to the letter, without the published tidying, which is for one sentence.
    """
    content: list[str | Picture] = []
    text = ""
    for turn in utterances:
        text += f" {turn.speaker}:" if text or content else f"{turn.speaker}:"
        for part in turn.parts:
            if isinstance(part, TextPart):
                text += f" {part.text}" if part.text else ""
                continue
            if text:
                content.append(text)
            text = ""
            content.append(Picture(part.image_url.url))
    return [*content, text] if text else content


# --- render -----------------------------------------------------------------------------------


def render_embedding(content: Content) -> Prompt:
    """The prompt whose last token is the embedding of `content`.

    Raises:
        ValueError: there is nothing to embed.
    """
    user, images = _written(content)
    has_text = any(isinstance(part, str) and part for part in content)
    if has_text:
        what = "image and sentence" if images else "sentence"
    elif images:
        what = "image"
    else:
        raise ValueError("there is neither text nor a picture to embed")
    return Prompt(SYSTEM, f"{user}\nSummarize above {what} in one word: ", images)


def render_pointwise(query: Content, candidate: Content, family: Family) -> Prompt:
    """Asks whether one candidate meets the query: the first token is `Yes` or `No`."""
    asked, asked_images = _written(query)
    shown, shown_images = _written(candidate)
    user = f"{_POINTWISE.format(gap=_POINTWISE_GAP[family])}Query:{asked}Candidate:{shown}"
    return Prompt(SYSTEM, user, asked_images + shown_images)


def render_listwise(query: Content, candidates: Sequence[Content], family: Family) -> Prompt:
    """Asks which of the candidates, numbered from 1, meets the query best.

    A number in parentheses that a text holds is broken open by a space: a candidate cannot invent
    another.
    """
    if not 1 <= len(candidates) <= MAX_LISTED:
        raise ValueError(f"a list has 1 to {MAX_LISTED} candidates")
    asked, images = _written(query)
    user = _LISTWISE.format(gap=_LISTWISE_GAP[family])
    user += f"Query:{_unnumbered(asked)}Candidates:"
    for number, candidate in enumerate(candidates, 1):
        shown, shown_images = _written(candidate)
        user += f"({number}) {_unnumbered(shown)}"
        images += shown_images
    return Prompt(SYSTEM, user, images)


def _written(content: Content) -> tuple[str, tuple[str, ...]]:
    """The content with `<image>` where pictures stand; texts are neutralised, joined as they are.

    Adjacent texts become one before they are neutralised: a tag may be spread over two.
    """
    written, images, texts = "", [], ""
    for part in (*content, None):
        if isinstance(part, str):
            texts += part
            continue
        written += neutralise(texts)
        texts = ""
        if part is not None:
            written += IMAGE
            images.append(part.ref)
    return written, tuple(images)


def _unnumbered(text: str) -> str:
    return _NUMBERING.sub("( ", text)


# --- answers ----------------------------------------------------------------------------------


def listwise_grammar(candidates: int) -> str:
    """EBNF that admits `Ans: (k)` for each candidate there is, and nothing else."""
    numbers = " | ".join(f'"{number}"' for number in range(1, candidates + 1))
    return f'root ::= "Ans: (" ({numbers}) ")"'


def parse_listwise(text: str, candidates: int) -> int:
    """The position, from 0, of the candidate that an answer names.

    Raises:
        Malformed: not exactly the published form, or there is no such candidate.
    """
    match = _CHOICE.fullmatch(text)
    if match is None or int(match[1]) > candidates:
        raise Malformed("the answer is not the number of a candidate")
    return int(match[1]) - 1


# --- scores -----------------------------------------------------------------------------------


def fused(similarity: float, p_yes: float, weight: float = 1.0) -> float:
    """The published final score: cosine and `weight` times P(Yes).

    The weight is 1 for all of M-BEIR but MSCOCO's tasks 0 (0.5) and 3 (0.1).
    """
    return similarity + weight * p_yes


# --- pictures ---------------------------------------------------------------------------------


def fitted(width: int, height: int) -> tuple[int, int]:
    """The size that upstream resizes a picture to: multiples of 28, within the budget.

    Source: `smart_resize` of the Qwen2-VL utilities, under LamRA's bounds.
    """
    if min(width, height) < 1:
        raise ValueError("a picture has at least one pixel a side")
    wide, high = _multiple(width), _multiple(height)
    if wide * high > MAX_PIXELS:
        shrink = (width * height / MAX_PIXELS) ** 0.5
        return _floor(width / shrink), _floor(height / shrink)
    if wide * high < MIN_PIXELS:
        grow = (MIN_PIXELS / (width * height)) ** 0.5
        return _ceil(width * grow), _ceil(height * grow)
    return wide, high


def _multiple(side: float) -> int:
    return max(PATCH_PIXELS, round(side / PATCH_PIXELS) * PATCH_PIXELS)


def _floor(side: float) -> int:
    return max(PATCH_PIXELS, int(side // PATCH_PIXELS) * PATCH_PIXELS)


def _ceil(side: float) -> int:
    return -int(-side // PATCH_PIXELS) * PATCH_PIXELS


# --- M-BEIR's ids -----------------------------------------------------------------------------


def hashed_qid(qid: str) -> int:
    """A query's id `9:1` as the one number of LamRA's files.

    Raises:
        Malformed: no such id, or its number reaches into the next dataset's.
    """
    return _hashed(qid, _QUERIES_APART)


def unhashed_qid(number: int) -> str:
    """The query's id that `hashed_qid` made a number of."""
    return _unhashed(number, _QUERIES_APART)


def hashed_did(did: str) -> int:
    """A candidate's id as the one number of LamRA's files.

    Raises:
        Malformed: no such id, or its number reaches into the next dataset's.
    """
    return _hashed(did, _CANDIDATES_APART)


def unhashed_did(number: int) -> str:
    """The candidate's id that `hashed_did` made a number of."""
    return _unhashed(number, _CANDIDATES_APART)


def _hashed(written: str, apart: int) -> int:
    match = _ID.fullmatch(written)
    if match is None or int(match[2]) >= apart:
        raise Malformed(f"an id is `dataset:number`, the number below {apart}")
    return int(match[1]) * apart + int(match[2])


def _unhashed(number: int, apart: int) -> str:
    if number < 0:
        raise Malformed("an id's number is not negative")
    return f"{number // apart}:{number % apart}"
