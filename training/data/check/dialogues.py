"""Raw WeChat dialogues with their queries, from which FFRS and F2RVLM make their samples."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from training.data.check.record import Listed, Record
from training.data.check.report import Identity, Report


def _in_list(value: Any) -> Any:
    """Before samples of one dialogue are merged, each has its one list of turns as it is."""
    is_flat = isinstance(value, list) and bool(value) and all(type(n) is int for n in value)
    return [value] if is_flat else value


class Utterance(Record):
    """`utterance` is a text, or a list of pictures: `[{"image_url": "…", "caption": ""}]`."""

    utterance_idx: int
    speaker: str
    utterance: Any


class Dialogue(Record):
    dialogue_id: str
    dialogue: list[Utterance] = Field(min_length=1)
    query_text: Listed | None = None
    gt_turns: Annotated[list[list[int]], BeforeValidator(_in_list)] | None = None


def check(record: Dialogue, report: Report) -> None:
    report.what = "dialogue"
    report.needs_text("dialogue_id", record.dialogue_id)
    before = -1
    for place, turn in enumerate(record.dialogue):
        at = f"dialogue.{place}"
        if turn.utterance_idx <= before:
            why = f"{turn.utterance_idx} does not come after {before}"
            report.problem("order", f"{at}.utterance_idx", why)
        before = max(before, turn.utterance_idx)
        report.needs_text(f"{at}.speaker", turn.speaker)
        _check_said(turn.utterance, f"{at}.utterance", report)
    _check_queries(record, report)
    text = json.dumps([turn.model_dump(mode="python") for turn in record.dialogue], default=str)
    content = hashlib.sha256(text.encode()).hexdigest()[:16]
    queries = "\n".join(record.query_text or [])
    report.identities += [
        Identity("dialogue_id", "dialogue", record.dialogue_id, content, again=True),
        Identity("dialogue_id", "queries", f"{record.dialogue_id}\n{queries}"),
    ]


def _check_said(said: Any, at: str, report: Report) -> None:
    if isinstance(said, str):
        report.needs_text(at, said)
    elif not isinstance(said, list):
        report.problem("field", at, "is neither a text nor a list of pictures")
    elif not said:
        report.problem("empty", at, "is empty")
    else:
        for number, picture in enumerate(said):
            path = picture.get("image_url") if isinstance(picture, dict) else None
            if isinstance(path, str):
                report.image(f"{at}.{number}.image_url", path)
            else:
                report.problem("field", f"{at}.{number}.image_url", "must be a string")


def _check_queries(record: Dialogue, report: Report) -> None:
    queries, gold = record.query_text, record.gt_turns
    if queries is None and gold is None:
        return
    queries, gold = queries or [], gold or []
    for number, query in enumerate(queries):
        report.needs_text(f"query_text.{number}", query)
    if len(queries) != len(gold):
        report.problem("answer", "gt_turns", f"has {len(gold)} lists for {len(queries)} queries")
    known = {turn.utterance_idx for turn in record.dialogue}
    for number, turns in enumerate(gold):
        at = f"gt_turns.{number}"
        if unknown := sorted(set(turns) - known):
            why = f"names utterance {unknown[0]}, which the dialogue does not have"
            report.problem("answer", at, why)
        if len(set(turns)) < len(turns):
            report.problem("answer", at, "names an utterance twice")
