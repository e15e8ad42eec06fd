"""M-BEIR's files: queries, candidates, relevance, instructions, as LamRA's evaluation reads them.

    FOLDER/query/test/mbeir_<task>_test.jsonl
    FOLDER/cand_pool/local/mbeir_<task>_test_cand_pool.jsonl     (or without `_test`)
    FOLDER/cand_pool/global/mbeir_union_test_cand_pool.jsonl     (optional)
    FOLDER/qrels/test/mbeir_<task>_test_qrels.txt
    FOLDER/instructions/query_instructions.tsv

Paths of pictures are relative to FOLDER. An error names file, line and field.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colloquy.protocols import lamra
from colloquy.protocols.prompt import Malformed

MODALITIES = frozenset({"text", "image", "image,text", "text,image"})
_PREFIX, _SUFFIX = "mbeir_", "_test.jsonl"
_INSTRUCTION_COLUMNS = 4


class BadFile(Exception):
    """A file that is not M-BEIR's; the message names file, line and field."""


@dataclass(frozen=True, slots=True)
class Side:
    """A query's or a candidate's content.

    Attributes:
        text: tidied as upstream does; empty where there is none.
        picture: its file, or None.
    """

    text: str
    picture: Path | None


@dataclass(frozen=True, slots=True)
class Query:
    qid: str
    side: Side


@dataclass(frozen=True, slots=True)
class Candidate:
    did: str
    modality: str
    side: Side


@dataclass(frozen=True)
class Task:
    """One task of M-BEIR, read.

    Attributes:
        queries: their text begins with an instruction.
        relevant: for each query's id the ids of the candidates that are right.
    """

    name: str
    queries: Sequence[Query]
    pool: Sequence[Candidate]
    relevant: Mapping[str, frozenset[str]]


def task_names(folder: Path) -> list[str]:
    """The tasks that have queries in `folder`.

    Raises:
        BadFile: there are none.
    """
    queries = folder / "query" / "test"
    names = sorted(
        path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        for path in queries.glob(f"{_PREFIX}*{_SUFFIX}")
    )
    if not names:
        raise BadFile(f"{queries}: holds no `{_PREFIX}<task>{_SUFFIX}`")
    return names


def read_task(folder: Path, name: str, *, limit: int | None = None, seed: int = 0) -> Task:
    """Reads a task with its local pool.

    Upstream draws one of a query's instructions at random; here the draw depends on `seed` and the
    query's id alone. It is drawn among those for the modality of the query's first right candidate.

    Raises:
        BadFile: a file is missing or a line is wrong.
    """
    pool = read_pool(folder, local_pool(folder, name))
    modality = {candidate.did: candidate.modality for candidate in pool}
    union = union_pool(folder)
    instructions = read_instructions(folder / "instructions" / "query_instructions.tsv")
    qrels = folder / "qrels" / "test" / f"{_PREFIX}{name}_test_qrels.txt"
    relevant = read_qrels(qrels)
    path = folder / "query" / "test" / f"{_PREFIX}{name}{_SUFFIX}"
    queries = []
    for place, record in _lines(path):
        qid = _id(record, "qid", place)
        if qid not in relevant:
            raise BadFile(f"{place}: qid: {qrels.name} names nothing relevant for it")
        first = _first(record, place)
        if first not in modality and union is not None:
            modality |= {one.did: one.modality for one in read_pool(folder, union)}
        if first not in modality:
            raise BadFile(f"{place}: pos_cand_list/0: no pool holds {first}")
        key = (qid.partition(":")[0], _modality(record, "query_modality", place), modality[first])
        prompts = instructions.get(key)
        if prompts is None:
            raise BadFile(f"{place}: query_modality: there is no instruction for {', '.join(key)}")
        # The seed makes runs alike; nothing secret is drawn.
        instruction = random.Random(f"{seed}/{qid}").choice(prompts)
        text = lamra.query_text(instruction, _text(record, "query_txt", place))
        side = Side(text, _picture(record, "query_img_path", folder, place))
        queries.append(Query(qid, side))
        if len(queries) == limit:
            break
    return Task(name, queries, pool, relevant)


def local_pool(folder: Path, name: str) -> Path:
    """Upstream's pools have two forms of name."""
    pools = folder / "cand_pool" / "local"
    usual = pools / f"{_PREFIX}{name}_test_cand_pool.jsonl"
    short = pools / f"{_PREFIX}{name}_cand_pool.jsonl"
    return short if short.is_file() and not usual.is_file() else usual


def union_pool(folder: Path) -> Path | None:
    path = folder / "cand_pool" / "global" / f"{_PREFIX}union_test_cand_pool.jsonl"
    return path if path.is_file() else None


def read_pool(folder: Path, path: Path) -> list[Candidate]:
    """Raises:
    BadFile: a line is wrong, or an id is there twice.
    """
    found: dict[str, Candidate] = {}
    for place, record in _lines(path):
        did = _id(record, "did", place)
        if did in found:
            raise BadFile(f"{place}: did: {did} is there twice")
        text = lamra.format_string(_text(record, "txt", place))
        picture = _picture(record, "img_path", folder, place)
        if not text and picture is None:
            raise BadFile(f"{place}: txt: there is neither text nor picture")
        modality = _modality(record, "modality", place)
        found[did] = Candidate(did, modality, Side(text, picture))
    if not found:
        raise BadFile(f"{path}: is empty")
    return list(found.values())


def read_qrels(path: Path) -> dict[str, frozenset[str]]:
    """Raises:
    BadFile: a line is not `qid 0 did relevance task`.
    """
    found: dict[str, set[str]] = {}
    for number, line in _text_lines(path):
        words = line.split()
        if not words:
            continue
        if len(words) != 5 or not words[3].lstrip("-").isdigit():
            raise BadFile(f"{path}: line {number}: is not `qid 0 did relevance task_id`")
        if int(words[3]) > 0:
            found.setdefault(words[0], set()).add(words[2])
    return {qid: frozenset(dids) for qid, dids in found.items()}


def read_instructions(path: Path) -> dict[tuple[str, str, str], list[str]]:
    """Prompts by dataset's id, query's and candidate's modality; each ends as a sentence.

    Raises:
        BadFile: a line has too few columns, or no prompt.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for number, line in _text_lines(path):
        if number == 1 or not line.strip():
            continue  # the heading
        columns = line.rstrip("\n").split("\t")
        prompts = [lamra.format_string(prompt) for prompt in columns[_INSTRUCTION_COLUMNS:]]
        prompts = [prompt for prompt in prompts if prompt]
        if len(columns) < _INSTRUCTION_COLUMNS or not prompts:
            raise BadFile(
                f"{path}: line {number}: is not query_modality, cand_modality, dataset, "
                "dataset_id, prompts"
            )
        query, candidate, _, dataset = (column.strip() for column in columns[:4])
        found[dataset, query, candidate] = prompts
    return found


# --- lines and fields -------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in _text_lines(path):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadFile(f"{place}: is not JSON") from error
        if not isinstance(record, dict):
            raise BadFile(f"{place}: is not a JSON object")
        yield place, record


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from enumerate(lines, start=1)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: is not UTF-8 text") from error


def _id(record: Mapping[str, Any], name: str, place: str) -> str:
    written = record.get(name)
    try:
        if not isinstance(written, str):
            raise Malformed("an id is text")
        (lamra.hashed_qid if name == "qid" else lamra.hashed_did)(written)
    except Malformed as error:
        raise BadFile(f"{place}: {name}: {error}") from error
    return written


def _first(record: Mapping[str, Any], place: str) -> str:
    given = record.get("pos_cand_list")
    if not isinstance(given, list) or not given or not isinstance(given[0], str):
        raise BadFile(f"{place}: pos_cand_list: is not a list of candidates' ids")
    return given[0]


def _modality(record: Mapping[str, Any], name: str, place: str) -> str:
    modality = record.get(name)
    if modality not in MODALITIES:
        raise BadFile(f"{place}: {name}: is none of {'; '.join(sorted(MODALITIES))}")
    return str(modality)


def _text(record: Mapping[str, Any], name: str, place: str) -> str:
    text = record.get(name)
    if text is not None and not isinstance(text, str):
        raise BadFile(f"{place}: {name}: is not a text")
    return text or ""


def _picture(record: Mapping[str, Any], name: str, folder: Path, place: str) -> Path | None:
    written = record.get(name)
    if not written:
        return None
    if not isinstance(written, str):
        raise BadFile(f"{place}: {name}: is not a path")
    path = folder / written
    if not path.is_file():
        raise BadFile(f"{place}: {name}: there is no file {written}")
    return path
