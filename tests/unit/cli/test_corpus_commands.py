import json
from pathlib import Path

import httpx
import pytest

from colloquy.cli.gateway import words_of
from colloquy.contracts.collections import CollectionSpec, ItemError, JobCounts
from colloquy.contracts.content import Utterance
from colloquy.contracts.fragments import FoundFragment, FragmentSearchResponse, Scores
from tests.unit.cli.conftest import Standing


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_all_pages_of_collections_are_listed(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"c-{number}" for number in range(5)]
    standing.gateway.collections = dict.fromkeys(names, CollectionSpec())
    assert standing.run("collections", "list", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == names


def test_without_collections_it_says_how_to_make_one(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert standing.run("collections", "list") == 0
    assert "`colloquy index` makes one" in told(capsys)


def test_a_collection_is_made_shown_and_dropped(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["collections", "create", "family", "--space", "clip", "--retention-days", "7"]
    assert standing.run(*create) == 0
    assert standing.gateway.collections["family"].spaces == ["clip"]
    assert standing.run("collections", "show", "family") == 0
    assert "7 days" in told(capsys)
    assert standing.run("collections", "drop", "family", "--yes") == 0
    assert standing.gateway.collections == {}


@pytest.mark.parametrize("words", [["collections", "drop", "family"], ["erase", "--speaker", "x"]])
def test_what_cannot_be_undone_wants_a_yes_where_nobody_can_be_asked(
    standing: Standing, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    standing.gateway.collections["family"] = CollectionSpec()
    assert standing.run(*words) == 1
    assert "--yes" in capsys.readouterr().err
    assert "family" in standing.gateway.collections
    assert standing.gateway.erased == []


def test_a_collection_that_is_not_there_is_told_in_the_gateways_words(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert standing.run("collections", "show", "nonesuch") == 1
    assert "There is no such collection" in capsys.readouterr().err


def test_jobs_are_listed_by_collection(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "other"):
        standing.gateway.new_job("ingest", name)
    assert standing.run("jobs", "--collection", "one", "--json") == 0
    assert [job["collection"] for job in json.loads(capsys.readouterr().out)] == ["one"]


def test_names_and_job_ids_are_whole_however_narrow_it_is(
    standing: Standing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a-collection-with-a-name-that-is-longer-than-the-terminal-is-wide"
    standing.gateway.collections[name] = CollectionSpec()
    job = standing.gateway.new_job("ingest", name)
    assert standing.run("jobs") == 0
    assert standing.run("collections", "list") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [job.id, "ingest", name] in [row[:3] for row in rows]
    assert name in [row[0] for row in rows]


def test_what_is_wrong_is_said_once() -> None:
    first, second = ({"at": f"body/{name}", "why": "is too long"} for name in "ab")
    problem = {"title": "No", "detail": "body/a: is too long", "faults": [first, second]}
    answer = httpx.Response(422, json=problem)
    assert words_of(answer) == "No: body/a: is too long; body/b: is too long"


def test_a_job_with_errors_shows_them_and_ends_with_one(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [ItemError(item=3, dialogue_id="d-3", at="utterances/1", why="is too long")]
    counts = JobCounts(total=4, indexed=3, unchanged=0, failed=1)
    job = standing.gateway.new_job("ingest", "family", counts=counts, errors=errors)
    assert standing.run("jobs", job.id, "--follow") == 1
    assert "d-3: utterances/1: is too long" in told(capsys)


def test_a_job_is_cancelled(standing: Standing) -> None:
    job = standing.gateway.new_job("ingest", "family")
    standing.run("jobs", job.id, "--cancel")
    assert standing.gateway.jobs[job.id].state == "cancelled"


def test_an_erasure_ends_with_its_receipt(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert standing.run("erase", "--speaker", "Ana", "--yes") == 0
    assert "dialogues: 2" in told(capsys)
    assert standing.run("erase", "--metadata", "shop=kites", "--metadata", "n:=3", "--yes") == 0
    assert standing.gateway.erased[0].speaker == "Ana"
    assert standing.gateway.erased[1].metadata == {"shop": "kites", "n": 3}


@pytest.mark.parametrize(
    "words",
    [[], ["--speaker", "a", "--metadata", "b=c"], ["--metadata", "a=b", "--metadata", "a=c"]],
)
def test_an_erasure_needs_exactly_one_description(standing: Standing, words: list[str]) -> None:
    assert standing.run("erase", *words, "--yes") == 1
    assert standing.gateway.erased == []


def test_every_collection_is_indexed_anew(standing: Standing) -> None:
    names = [f"c-{number}" for number in range(3)]
    standing.gateway.collections = dict.fromkeys(names, CollectionSpec())
    assert standing.run("reindex", "--all") == 0
    assert [job.collection for job in standing.gateway.jobs.values()] == names
    assert standing.run("reindex") == 1


def answer(*fragments: FoundFragment) -> FragmentSearchResponse:
    return FragmentSearchResponse(
        fragments=list(fragments),
        degraded=[],
        models={"embed": "clip@1"},
        timings_ms={"total": 3.0},
        request_id="r",
    )


def test_a_search_in_a_collection_sends_what_was_asked_and_shows_dialogues(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [Utterance(id=number, speaker="Ana", content=f"turn {number}") for number in (3, 5)]
    found = FoundFragment(
        dialogue_id="d-17",
        utterance_ids=[3, 5],
        image_ids=[],
        utterances=turns,
        scores=Scores(retrieval=0.5, final=0.016),
    )
    standing.gateway.answer = lambda _: answer(found)
    (tmp_path / "cat.png").write_bytes(b"picture")
    words = ["cake", "--collection", "family", "--image", str(tmp_path / "cat.png")]
    words += ["--top-k", "3", "--candidates", "9", "--rerank", "none", "--no-refine"]
    words += ["--filter", "speaker=Ana", "--filter", "shop=kites", "--filter", "n:=3"]
    assert standing.run("search", *words) == 0
    (sent,) = standing.gateway.searches
    assert (sent.query, sent.top_k, sent.candidates) == ("cake", 3, 9)
    assert (sent.rerank, sent.refine) == ("none", False)
    assert sent.query_image is not None
    assert sent.query_image.url.startswith("blob:")
    assert sent.filter is not None
    assert sent.filter.speaker == ["Ana"]
    assert sent.filter.metadata == {"shop": ["kites"], "n": [3]}
    shown = told(capsys)
    assert "1 d-17 retrieval 0.500 final 0.016 3 Ana turn 3 ⋮ 5 Ana turn 5" in shown


def test_a_search_that_finds_nothing_says_so(
    standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.gateway.answer = lambda _: answer()
    assert standing.run("search", "cake", "--collection", "family") == 0
    assert "nothing in the collection answers that" in told(capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["q"],
        ["--collection", "c"],
        ["q", "--collection", "c", "--dialogue", "x.json"],
        ["q", "--dialogue", "x.json", "--top-k", "3"],
        ["q", "--dialogue", "x.json", "--filter", "a=b"],
        ["--dialogue", "x.json", "--image", "x.png"],
    ],
)
def test_a_search_that_makes_no_sense_is_a_wrong_call(words: list[str], standing: Standing) -> None:
    with pytest.raises(SystemExit) as ended:
        standing.run("search", *words)
    assert ended.value.code == 2


def test_nothing_is_restored_under_a_running_stack(
    standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert standing.run("restore", str(tmp_path / "b.tar")) == 1
    assert "`colloquy down` first" in capsys.readouterr().err
