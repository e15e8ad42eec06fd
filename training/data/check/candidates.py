"""M-BEIR's queries and candidates, as LamRA retrieves and ranks them."""

import re
from typing import Any, Literal

from pydantic import Field

from training.data.check.record import IMAGE, Record
from training.data.check.report import Identity, Report

Modality = Literal["text", "image", "image,text", "text,image"]
_NUMBERED = re.compile(r"[0-9]+:[0-9]+")


class Query(Record):
    qid: str
    query_modality: Modality
    query_txt: str | None = None
    query_img_path: str | None = None
    query_src_content: Any = None
    pos_cand_list: list[str] = Field(min_length=1)
    neg_cand_list: list[str] | None = None
    task_id: int | None = None


class Candidate(Record):
    did: str
    modality: Modality
    txt: str | None = None
    img_path: str | None = None
    src_content: Any = None


def check_query(record: Query, report: Report) -> None:
    report.what = "query"
    _check_id("qid", record.qid, report)
    report.identities.append(Identity("qid", "query", record.qid))
    texts = ("query_txt", record.query_txt)
    _check_side(record.query_modality, texts, ("query_img_path", record.query_img_path), report)
    right, wrong = record.pos_cand_list, record.neg_cand_list or []
    for field, names in (("pos_cand_list", right), ("neg_cand_list", wrong)):
        for number, name in enumerate(names):
            _check_id(f"{field}.{number}", name, report)
        if len(set(names)) < len(names):
            report.problem("id", field, "names a candidate twice")
    if both := set(right) & set(wrong):
        why = f"{len(both)} of these are right candidates too"
        report.problem("answer", "neg_cand_list", why)


def check_candidate(record: Candidate, report: Report) -> None:
    report.what = "candidate"
    _check_id("did", record.did, report)
    report.identities.append(Identity("did", "candidate", record.did))
    image = ("img_path", record.img_path)
    _check_side(record.modality, ("txt", record.txt), image, report)


def _check_id(at: str, name: str, report: Report) -> None:
    if not _NUMBERED.fullmatch(name):
        report.problem("field", at, "is not of the form `dataset:number`, as 9:1")


def _check_side(
    modality: str, text: tuple[str, str | None], image: tuple[str, str | None], report: Report
) -> None:
    """A side has what its modality says, and nothing else."""
    kinds = modality.split(",")
    for (at, value), kind in ((text, "text"), (image, "image")):
        has = bool(value and value.strip())
        if has != (kind in kinds):
            why = f"is {'there' if has else 'empty'}, and the modality is {modality}"
            report.problem("empty" if not has else "field", at, why)
    if text[1] and IMAGE in text[1]:
        report.problem("placeholder", text[0], f"holds {IMAGE}; the format has no places for it")
    if image[1] and image[1].strip():
        report.image(image[0], image[1])
