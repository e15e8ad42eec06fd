"""The files that FFRS's released scripts pass on, as records: read, checked and written.

Source: `FFRS_pipeline/` of the released code, steps 3, 6, 7 and 8. What is computed is in `ffrs`;
here it only changes its form, so that a corpus can enter or leave between any two steps.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from colloquy.contracts.content import ImagePart, Part, TextPart, Utterance
from colloquy.protocols import f2rvlm, ffrs
from colloquy.protocols.f2rvlm import Answer
from colloquy.protocols.plaintext import neutralise
from colloquy.protocols.prompt import IMAGE, Malformed

Record = Mapping[str, Any]

_TAG = re.compile(r"<\|utt_id_start\|>([0-9]{1,9})<\|utt_id_end\|>")
_COLON = re.compile("[:：]")


@dataclass(frozen=True, slots=True)
class SplitSample:
    """A dialogue and the split that a model predicted for it (step 2's output).

    Attributes:
        groups: the fragments as predicted: any ids, in any order.
    """

    dialogue_id: str
    utterances: tuple[Utterance, ...]
    groups: tuple[tuple[int, ...], ...]

    @property
    def utterance_ids(self) -> list[int]:
        return [turn.id for turn in self.utterances]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment as step 3 writes it; its utterances are numbered from 0."""

    dialogue_id: str
    number: int
    utterances: tuple[Utterance, ...]


# --- step 3: a predicted split, its fragments, its summary --------------------------------------


def read_split(record: Record) -> SplitSample:
    """Reads a dialogue in the splitter's prompt together with what the splitter answered.

    Raises:
        Malformed: the answer is no list of lists of ids, an utterance has the id of another, or
            there are not as many pictures as places for them.
    """
    lines = []
    # Not `splitlines`: a rare line separator inside an utterance does not end its line.
    for row in _user(record).split("\n"):
        tag = _TAG.match(row)
        if tag is not None:
            lines.append((int(tag[1]), row[tag.end() :].strip()))
    if len({number for number, _ in lines}) != len(lines):
        raise Malformed("two utterances have the same id")
    utterances = _utterances(sorted(lines), _pictures(record))
    groups = f2rvlm.parse_split(_written_split(record))
    return SplitSample(_dialogue_id(record), utterances, tuple(map(tuple, groups)))


def fragment_records(sample: SplitSample) -> list[dict[str, Any]]:
    """Step 3's fragments, each with its lines and its pictures."""
    by_id = {turn.id: turn for turn in sample.utterances}
    records = []
    for number, ids in enumerate(ffrs.fragment_ids(sample.groups, by_id)):
        turns = [by_id[one] for one in ids]
        records.append(
            {
                "dialogue_id": sample.dialogue_id,
                "query": "",
                "response": "\n".join(map(_line, turns)),
                "images": [image for turn in turns for image in turn.images],
                "fragment_id": number,
            }
        )
    return records


def summary_record(sample: SplitSample) -> dict[str, Any]:
    """Step 3's summary of one dialogue: which utterances each fragment holds, and what is wrong."""
    known = sample.utterance_ids
    fragments = [list(ids) for ids in ffrs.fragment_ids(sample.groups, known)]
    counted = ffrs.coverage(sample.groups, known)
    return {
        "dialogue_id": sample.dialogue_id,
        "fragment_count": len(fragments),
        "fragments": fragments,
        "fragment_lengths": [len(ids) for ids in fragments],
        "all_utt_ids": known,
        "covered": counted.complete,
        "missing_ids": list(counted.missing),
        "extra_ids": list(counted.extra),
        "duplicate_ids": list(counted.repeated),
        "total_utt": len(known),
        "union_pred_ids": sorted({one for group in sample.groups for one in group}),
    }


def _written_split(record: Record) -> str:
    response = record.get("response")
    return response if isinstance(response, str) else str(response or [])


# --- step 6: a candidate and its prompt ---------------------------------------------------------


def read_fragment(record: Record) -> Fragment:
    """Reads one of step 3's fragments; an empty utterance keeps its line.

    Raises:
        Malformed: a line has no speaker, or there are not as many pictures as places for them.
    """
    response = record.get("response")
    if not isinstance(response, str):
        raise Malformed("response is not text")
    rows = response.split("\n") if response else []
    return Fragment(
        _dialogue_id(record),
        _number(record),
        _utterances(list(enumerate(rows)), _pictures(record)),
    )


def prompt_record(fragment: Fragment, query: str, candidate: Record) -> dict[str, Any]:
    """Step 6's record: one candidate of one query as F2RVLM is asked about it, not yet answered."""
    prompt = ffrs.candidate_prompt(fragment.utterances, query)
    nothing = f2rvlm.format_answer([], [])
    turns = (("system", prompt.system), ("user", prompt.user), ("assistant", nothing))
    return {
        "messages": [{"role": role, "content": text} for role, text in turns],
        "images": list(prompt.images),
        "dialogue_id": fragment.dialogue_id,
        "fragment_id": fragment.number,
        "solution": nothing,
        "meta": {
            "source_query_dialogue_id": str(candidate.get("source_query_dialogue_id", "")),
            "query_text": query,
            "key": f"{fragment.dialogue_id}+{fragment.number}",
            "rank": int(candidate.get("rank", 0)),
            "score": float(candidate.get("score", 0.0)),
        },
    }


def parse_key(key: str) -> tuple[str, int]:
    """The dialogue and the fragment's number of a key like `4503313089_1_1+0`.

    Raises:
        Malformed: no `+` with a number behind it.
    """
    dialogue_id, plus, number = key.rpartition("+")
    if not plus or not re.fullmatch("[0-9]{1,9}", number):
        raise Malformed("a key is a dialogue's id, a plus and the fragment's number")
    return dialogue_id, int(number)


# --- steps 7 and 8: answers, and what they come to ----------------------------------------------


def read_answer(record: Record) -> Answer:
    """What F2RVLM answered about a candidate, in the prompt's ids.

    As upstream, text around the lists is ignored, and a text without them answers nothing.
    """
    return f2rvlm.parse_answer_tolerant(str(record.get("response") or ""))


def answered_utterances(record: Record) -> list[int]:
    """Step 7's result: the named utterances, then those that show the named pictures."""
    lines = f2rvlm.parse_lines(_user(record))
    owners = [line.id for line in lines for _ in range(line.text.count(IMAGE))]
    return ffrs.with_owners(read_answer(record), owners)


def merged_records(records: Iterable[Record], summaries: Iterable[Record]) -> list[dict[str, Any]]:
    """Step 8's result: for each query, the answer of every dialogue that has one.

    Raises:
        Malformed: an answer is about a fragment that no summary names; its lines could not be
            placed.
    """
    known = {str(one["dialogue_id"]): one for one in summaries}
    queries: dict[str, list[Record]] = {}
    for record in records:
        queries.setdefault(_query(record), []).append(record)
    return [
        {
            "query_text": query,
            "n_candidates": len(candidates),
            "results": [
                {
                    "dialogue_id": one.dialogue_id,
                    "fragment_count": int(known[one.dialogue_id]["fragment_count"]),
                    "merged": {"utt_ids": list(one.utterance_ids)},
                    "covered_fragments": list(one.fragments),
                }
                for one in ffrs.merge(_found(record, known) for record in candidates)
            ],
        }
        for query, candidates in queries.items()
    ]


def _found(record: Record, summaries: Mapping[str, Record]) -> ffrs.Found:
    dialogue_id, number = _dialogue_id(record), _number(record)
    summary = summaries.get(dialogue_id)
    if summary is None or number >= len(summary["fragments"]):
        raise Malformed("no summary names the fragment of an answer")
    places = ffrs.fragment_ids(summary["fragments"], summary["all_utt_ids"])[number]
    return ffrs.Found(
        dialogue_id, number, tuple(ffrs.to_global(answered_utterances(record), places))
    )


# --- pieces of records --------------------------------------------------------------------------


def _user(record: Record) -> str:
    for message in record.get("messages") or ():
        if message.get("role") == "user":
            return str(message.get("content") or "")
    return ""


def _query(record: Record) -> str:
    query = (record.get("meta") or {}).get("query_text")
    if isinstance(query, str) and query.strip():
        return query.strip()
    return f2rvlm.parse_query(_user(record)).strip()


def _dialogue_id(record: Record) -> str:
    return str(record.get("dialogue_id", ""))


def _number(record: Record) -> int:
    number = record.get("fragment_id")
    if type(number) is not int or number < 0:
        raise Malformed("fragment_id is not a fragment's number")
    return number


def _pictures(record: Record) -> list[str]:
    """Paths or addresses, however the scripts and ms-swift write them."""
    found = []
    for one in record.get("images") or ():
        if isinstance(one, Mapping):
            one = one.get("path") or one.get("image_url") or one.get("url")
        if isinstance(one, str) and one:
            found.append(one)
    return found


def _utterances(lines: Sequence[tuple[int, str]], images: list[str]) -> tuple[Utterance, ...]:
    """Utterances from `speaker: text` lines; each `<image>` takes the next picture."""
    places = sum(text.count(IMAGE) for _, text in lines)
    if places != len(images):
        raise Malformed(f"{places} places for pictures, and {len(images)} pictures")
    left = iter(images)
    turns = []
    for number, line in lines:
        colon = _COLON.search(line)
        if colon is None:
            raise Malformed(f"line {number} names no speaker")
        speaker, text = line[: colon.start()].strip(), line[colon.end() :].lstrip()
        content: list[Part] = []
        for place, run in enumerate(text.split(IMAGE)):
            if place:
                content.append(ImagePart.of(next(left)))
            if run:
                content.append(TextPart(text=run))
        try:
            turns.append(Utterance(id=number, speaker=speaker, content=content or ""))
        except ValidationError as error:
            raise Malformed(f"line {number} is no utterance: {error.errors()[0]['msg']}") from error
    return tuple(turns)


def _line(turn: Utterance) -> str:
    text = "".join(IMAGE if isinstance(p, ImagePart) else neutralise(p.text) for p in turn.parts)
    return f"{turn.speaker}: {text}"
