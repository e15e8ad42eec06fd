"""`eval retrieval` and `eval corpus` against a real server that answers as the gateway does."""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from colloquy.contracts.content import Utterance
from colloquy.contracts.fragments import (
    FoundFragment,
    FragmentSearchRequest,
    FragmentSearchResponse,
    Scores,
)
from tests.doubles.corpus_gateway import CorpusGateway, corpus_gateway
from training.data.world.corpus import Fragment, dialogue_id, make_corpus
from training.evaluate import corpus, retrieval
from training.evaluate.corpus_set import HeldOut
from training.evaluate.corpus_tables import show as show_corpus
from training.evaluate.retrieval_tables import show as show_retrieval
from training.evaluate.stack import StackFailed

DIALOGUES, QUERIES = 12, 6


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut("validation", make_corpus("validation", DIALOGUES, QUERIES))


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, CorpusGateway]]:
    with corpus_gateway() as server:
        yield server


@pytest.fixture
def gateway(served: tuple[str, CorpusGateway]) -> CorpusGateway:
    served[1].empty()
    return served[1]


@pytest.fixture
def args(served: tuple[str, CorpusGateway], tmp_path: Path) -> argparse.Namespace:
    content = {
        "name": "test",
        "about": "Nothing.",
        "state": str(tmp_path / "var"),
        "engines": {"one": {"runtime": "vllm", "model": "base@1"}},
        "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(content))
    return argparse.Namespace(
        profile=str(path),
        url=served[0],
        key=None,
        split="validation",
        limit=None,
        concurrency=4,
        collection=None,
        candidates=20,
        top_k=5,
        rerank=["pointwise"],
    )


def found(split: str, fragment: Fragment, ids: list[int] | None = None) -> FoundFragment:
    return FoundFragment(
        dialogue_id=dialogue_id(split, fragment.dialogue),  # type: ignore[arg-type]
        utterance_ids=list(fragment.utterance_ids) if ids is None else ids,
        image_ids=list(fragment.image_ids) if ids is None else [],
        utterances=[Utterance(id=0, speaker="a", content="b")],
        scores=Scores(),
    )


class Answers:
    """Bm25 finds nothing, clip finds the gold second, everything else finds it first."""

    def __init__(self, held_out: HeldOut) -> None:
        self._gold = {query.text: held_out.gold(query) for query in held_out.queries}
        self._fragments = held_out.corpus.fragments

    def __call__(self, request: FragmentSearchRequest) -> FragmentSearchResponse:
        assert request.query is not None
        gold = self._gold[request.query]
        wrong = next(f for f in self._fragments if f.dialogue not in {g.dialogue for g in gold})
        hits = [found("validation", one) for one in gold]
        fragments = {
            ("bm25",): [found("validation", wrong)],
            ("clip",): [found("validation", wrong), *hits],
        }.get(tuple(request.methods or ()), hits)
        if request.merge and not request.refine:  # whole fragments are too much
            fragments = [*fragments, found("validation", wrong)]
        return FragmentSearchResponse(
            fragments=fragments[: request.top_k],
            degraded=["rerank"] if request.rerank == "pointwise" else [],
            models={"embed": "clip@1"},
            timings_ms={"total": 1.0},
            request_id="r",
        )


def test_each_method_is_ranked_alone_fused_and_reranked(
    gateway: CorpusGateway, held_out: HeldOut, args: argparse.Namespace
) -> None:
    gateway.answer = Answers(held_out)
    record = asyncio.run(retrieval.evaluate_on(held_out, args))
    at_1 = {name: one["half"]["recall@1"] for name, one in record["systems"].items()}
    assert at_1 == {"clip": 0, "lamra": 1, "bm25": 0, "fused": 1, "fused, pointwise": 1}
    assert record["systems"]["clip"]["half"]["recall@5"] == 1
    assert record["systems"]["bm25"]["half"]["recall@20"] == 0
    assert record["systems"]["fused, pointwise"]["degraded"] == QUERIES
    assert record["systems"]["fused"]["latency_ms"]["requests"] == QUERIES
    gains = record["differences"]
    assert gains["fused less clip"]["recall@1"] == {"difference": 1, "low": 1, "high": 1}
    assert gains["fused less lamra"]["recall@1"]["difference"] == 0
    assert set(gains) == {
        "fused less clip",
        "fused less lamra",
        "fused less bm25",
        "fused, pointwise less fused",
    }
    for values in record["by"].values():
        assert sum(one["queries"] for one in values.values()) == QUERIES
    assert record["set"]["dialogues"] == DIALOGUES
    asked = {(tuple(one.methods or ()), one.rerank, one.refine) for one in gateway.searches}
    assert asked == {
        (("clip",), "none", False),
        (("lamra",), "none", False),
        (("bm25",), "none", False),
        ((), "none", False),
        ((), "pointwise", False),
    }
    show_retrieval(record)


def test_the_corpus_is_sent_once_and_found_again(
    gateway: CorpusGateway, held_out: HeldOut, args: argparse.Namespace
) -> None:
    gateway.answer = Answers(held_out)
    args.rerank, args.limit = [], 2
    for _ in range(2):
        record = asyncio.run(retrieval.evaluate_on(held_out, args))
    assert len(gateway.bodies) == 1
    kept = gateway.dialogues[held_out.collection]
    assert len(kept) == DIALOGUES
    assert all(url.startswith("blob:") for one in kept.values() for url in one.images)
    assert (record["set"]["queries"], record["set"]["limited"]) == (2, True)


def test_a_collection_with_something_else_in_it_is_refused(
    gateway: CorpusGateway, held_out: HeldOut, args: argparse.Namespace
) -> None:
    gateway.ingest("mine", b'{"id": "x", "utterances": [{"speaker": "a", "content": "b"}]}', None)
    args.collection = "mine"
    with pytest.raises(StackFailed, match="holds 13 dialogues, not the 12"):
        asyncio.run(retrieval.evaluate_on(held_out, args))


def test_a_corpus_that_cannot_be_indexed_is_one_clear_line(
    gateway: CorpusGateway, held_out: HeldOut, args: argparse.Namespace
) -> None:
    gateway.bad[dialogue_id("validation", 3)] = "the engine is away"
    with pytest.raises(StackFailed, match="1 dialogues of the corpus cannot be indexed, the first"):
        asyncio.run(retrieval.evaluate_on(held_out, args))


def test_answers_are_scored_from_end_to_end_with_and_without_refining(
    gateway: CorpusGateway, held_out: HeldOut, args: argparse.Namespace
) -> None:
    gateway.answer = Answers(held_out)
    args.rerank = ["none", "pointwise"]
    record: dict[str, Any] = asyncio.run(corpus.evaluate_on(held_out, args))
    systems = record["systems"]
    assert set(systems) == {
        "retrieved, whole fragments",
        "retrieved, refined",
        "reranked pointwise, whole fragments",
        "reranked pointwise, refined",
    }
    refined = systems["retrieved, refined"]["micro"]
    whole = systems["retrieved, whole fragments"]["micro"]
    assert refined["utterance"]["f1"] == 1.0
    assert whole["utterance"]["recall"] == 1.0
    assert whole["utterance"]["precision"] < 1.0
    gain = record["differences"]["retrieved, refined less retrieved, whole fragments"]
    assert gain["low"] > 0
    same = record["differences"]["reranked pointwise, refined less retrieved, refined"]
    assert same == {"difference": 0, "low": 0, "high": 0}
    assert systems["reranked pointwise, refined"]["degraded"] == QUERIES
    first = systems["retrieved, whole fragments"]["first"]["utterance"]
    assert first["precision"] == 1.0
    show_corpus(record)


def test_the_commands_take_the_arguments_of_all_evaluations(capsys) -> None:
    for main in (retrieval.main, corpus.main):
        with pytest.raises(SystemExit) as ended:
            main(["--help"])
        assert ended.value.code == 0
        assert "--collection" in capsys.readouterr().out


def test_a_stack_that_is_not_there_is_one_clear_line(capsys, args) -> None:
    words = ["--profile", args.profile, "--url", "http://127.0.0.1:9", "--split", "validation"]
    assert retrieval.main(words) == 1
    assert capsys.readouterr().err.startswith("evaluate: the gateway does not answer")
