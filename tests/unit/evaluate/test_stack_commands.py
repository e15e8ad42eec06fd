"""The commands against a real server that answers as the gateway does."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from colloquy.contracts.fragments import (
    FragmentSearchRequest,
    FragmentSearchResponse,
    SplitRequest,
    SplitResponse,
)
from colloquy.servicekit.testing import serve_in_thread
from training.evaluate import fragment, split

Answer = Callable[[dict[str, Any]], dict[str, Any]]
ENVELOPE = {"degraded": [], "timings_ms": {}, "request_id": "r"}


def everything(body: dict[str, Any]) -> dict[str, Any]:
    turns = body["dialogue"]["utterances"]
    pictures = [p for t in turns if isinstance(t["content"], list) for p in t["content"]]
    images = sum(part["type"] == "image_url" for part in pictures)
    found = {
        "dialogue_id": None,
        "utterance_ids": list(range(len(turns))),
        "image_ids": list(range(images)),
        "utterances": turns,
        "scores": {"retrieval": None, "rerank": None, "final": None},
    }
    return ENVELOPE | {"fragments": [found], "models": {"fragment": "fragment@9"}}


def nothing(body: dict[str, Any]) -> dict[str, Any]:
    return ENVELOPE | {"fragments": [], "models": {"fragment": "fragment@9"}}


def one_each(body: dict[str, Any]) -> dict[str, Any]:
    turns = range(len(body["dialogue"]["utterances"]))
    fragments = [{"utterance_ids": [turn], "image_ids": []} for turn in turns]
    return ENVELOPE | {"fragments": fragments, "models": {"split": "split@9"}}


@contextmanager
def gateway(answer: Answer, *, refusals: int = 0, status: int = 503) -> Iterator[str]:
    app = FastAPI()
    left = [refusals]

    def refusal() -> JSONResponse | None:
        if not left[0]:
            return None
        left[0] -= 1
        problem = {"title": "Too much", "detail": "come back", "request_id": "r-1"}
        return JSONResponse(problem, status, headers={"retry-after": "0"})

    # Both sides are held to the contracts, as the gateway's own routes are.
    @app.post(fragment.PATH)
    async def search(body: FragmentSearchRequest) -> FragmentSearchResponse:
        return refusal() or FragmentSearchResponse.model_validate(answer(body.model_dump()))

    @app.post(split.PATH)
    async def divide(body: SplitRequest) -> SplitResponse:
        return refusal() or SplitResponse.model_validate(answer(body.model_dump()))

    with serve_in_thread(app) as url:
        yield url


def test_the_fragment_command_scores_a_stack_beside_the_baselines(tmp_path, capsys) -> None:
    saved, output = tmp_path / "own.jsonl", tmp_path / "result.json"
    with gateway(everything) as url:
        files = ["--save", str(saved), "--output", str(output)]
        code = fragment.main(["--url", url, "--limit", "9", "--json", "--no-form", *files])

    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert printed == json.loads(output.read_text())
    assert len(saved.read_text().splitlines()) == 9
    assert printed["models"] == {"fragment": "fragment@9"}
    assert printed["set"]["queries"] == 9
    assert len(printed["set"]["sha256"]) == 64
    assert printed["model"]["micro"]["joint"]["recall"] == 1.0
    assert printed["model"]["emptiness"]["false_empty"] == 0.0
    blind = printed["baselines"]["query-blind window"]["micro"]
    assert 0 < blind["joint"]["f1"] <= 1
    assert set(printed["model_less_baseline"]) == set(printed["baselines"])
    assert sum(part["queries"] for part in printed["by"]["language"].values()) == 9


def test_without_json_the_tables_are_printed(capsys) -> None:
    with gateway(nothing) as url:
        assert fragment.main(["--url", url, "--limit", "6", "--no-form"]) == 0

    out = capsys.readouterr().out
    assert "fragment@9 on 6 queries" in out
    assert "model less baseline" in out


def test_the_split_command_scores_boundaries(capsys) -> None:
    with gateway(one_each) as url:
        assert split.main(["--url", url, "--limit", "5", "--json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["model"]["recall"] == 1.0
    assert 0 < printed["model"]["precision"] < 1
    assert printed["models"] == {"split": "split@9"}


def test_a_stack_that_is_busy_is_asked_again() -> None:
    with gateway(nothing, refusals=3) as url:
        assert fragment.main(["--url", url, "--limit", "4", "--json", "--no-form"]) == 0


def test_a_stack_that_refuses_is_one_clear_line(capsys) -> None:
    with gateway(nothing, refusals=99, status=401) as url:
        assert fragment.main(["--url", url, "--limit", "4", "--json"]) == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert "401 Too much, come back, r-1" in said.err


def test_a_stack_that_is_not_there_is_one_clear_line(capsys) -> None:
    assert fragment.main(["--url", "http://127.0.0.1:9", "--limit", "2"]) == 1
    assert "start the stack with `colloquy up`" in capsys.readouterr().err


def test_a_profile_that_is_not_there_is_one_clear_line(capsys) -> None:
    assert fragment.main(["--profile", "profiles/none.yaml"]) == 1
    assert "profiles/none.yaml: cannot be read" in capsys.readouterr().err


def test_form_is_said_to_be_unmeasured_where_no_engine_listens(tmp_path, capsys) -> None:
    with gateway(nothing) as url:
        assert fragment.main(["--url", url, "--limit", "2", "--json"]) == 0

    assert "not measured" in json.loads(capsys.readouterr().out)["form"]["why"]


@pytest.mark.parametrize("argument", ["--limit=0", "--limit=-1", "--concurrency=0"])
def test_sizes_must_be_positive(argument) -> None:
    with pytest.raises(SystemExit):
        fragment.main([argument])
