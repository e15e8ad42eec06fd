"""M-BEIR's form in small, with numbers that were computed by hand."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from colloquy.contracts.embeddings import EmbeddingsRequest, RerankRequest
from colloquy.servicekit.testing import serve_in_thread
from training.evaluate import mbeir
from training.evaluate.mbeir_files import BadFile, read_task, task_names

PICTURE = b"\x89PNG of a cat"

# Everything points along one of three axes, or between two.
VECTORS = {
    "Find it. cats.": [1, 0, 0],
    "Find it. dogs.": [0, 1, 0],
    "Show it. fish.": [0, 0, 1],
    "A cat.": [1, 0, 0],
    "A dog.": [0, 1, 0],
    "Cat and dog.": [0.6, 0.8, 0],
    "A fish.": [0, 0.1, 0.99],
    "cat.png": [0.8, 0, 0.6],
}
QUERIES = {
    "mscoco_task0": [
        {"qid": "9:1", "query_txt": "cats", "query_modality": "text", "pos_cand_list": ["9:1"]},
        {"qid": "9:2", "query_txt": "dogs", "query_modality": "text", "pos_cand_list": ["9:3"]},
    ],
    "fashioniq_task7": [
        {
            "qid": "7:1",
            "query_txt": "fish",
            "query_img_path": None,
            "query_modality": "text",
            "pos_cand_list": ["7:2"],
        }
    ],
}
POOLS = {
    "mscoco_task0_test": [
        {"did": "9:1", "txt": "a cat", "img_path": None, "modality": "text"},
        {"did": "9:2", "txt": "a dog", "modality": "text"},
        {"did": "9:3", "txt": "cat and dog", "modality": "text"},
    ],
    # Upstream names some pools without `_test`.
    "fashioniq_task7": [
        {"did": "7:1", "txt": "a fish", "modality": "text"},
        {"did": "7:2", "txt": None, "img_path": "images/cat.png", "modality": "image"},
    ],
}
QRELS = {
    "mscoco_task0": ["9:1 0 9:1 1 0", "9:1 0 9:2 0 0", "9:2 0 9:3 1 0"],
    "fashioniq_task7": ["7:1 0 7:2 1 7"],
}
INSTRUCTIONS = [
    ["query_modality", "cand_modality", "dataset_name", "dataset_id", "prompt_1", "prompt_2"],
    ["text", "text", "mscoco", "9", "find it", ""],
    ["text", "image", "fashioniq", "7", "show it", ""],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")

    for task, queries in QUERIES.items():
        write(f"query/test/mbeir_{task}_test.jsonl", "\n".join(map(json.dumps, queries)))
        write(f"qrels/test/mbeir_{task}_test_qrels.txt", "\n".join(QRELS[task]) + "\n")
    for name, pool in POOLS.items():
        lines = "\n".join(map(json.dumps, pool))
        write(f"cand_pool/local/mbeir_{name}_cand_pool.jsonl", lines)
    rows = "\n".join("\t".join(row) for row in INSTRUCTIONS)
    write("instructions/query_instructions.tsv", rows + "\n")
    write("images/cat.png", "")
    (tmp_path / "images/cat.png").write_bytes(PICTURE)
    return tmp_path


class Double:
    """Embeds by the table above; says Yes to whatever holds a dog."""

    def __init__(self) -> None:
        self.embedded: list[EmbeddingsRequest] = []
        self.ranked: list[RerankRequest] = []

    def embed(self, body: EmbeddingsRequest) -> dict[str, Any]:
        self.embedded.append(body)
        assert body.encoding_format == "base64"
        rows = [
            {
                "index": place,
                "embedding": base64.b64encode(np.array(vector(parts), "<f4").tobytes()).decode(),
            }
            for place, parts in enumerate(body.input)
        ]
        # In no order of their own: `index` says which is which.
        return {"data": rows[::-1], "model": "lamra@1", "models": {"lamra": "lamra@1"}}

    def rank(self, body: RerankRequest) -> dict[str, Any]:
        self.ranked.append(body)
        scores = [1.0 if "dog" in key(document) else 0.0 for document in body.documents]
        results = [{"index": i, "relevance_score": s} for i, s in enumerate(scores)]
        return {"results": results[::-1], "models": {"rank": "rank@1"}}


def key(parts: list[dict[str, Any]]) -> str:
    if parts[0]["type"] == "image_url":
        assert base64.b64decode(parts[0]["image_url"]["url"].partition(",")[2]) == PICTURE
        return "cat.png"
    return str(parts[0]["text"])


def vector(parts: list[dict[str, Any]]) -> list[float]:
    return VECTORS[key(parts)]


@pytest.fixture
def stack() -> Iterator[tuple[str, Double]]:
    double, app = Double(), FastAPI()

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingsRequest) -> dict[str, Any]:
        return double.embed(body)

    @app.post("/v1/rerank")
    async def rerank(body: RerankRequest) -> dict[str, Any]:
        return double.rank(body)

    with serve_in_thread(app) as url:
        yield url, double


def measured(url: str, folder: Path, capsys, *words: str) -> dict[str, Any]:
    assert mbeir.main([str(folder), "--url", url, "--json", *words]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_recall_over_local_pools(stack: tuple[str, Double], folder: Path, capsys) -> None:
    record = measured(stack[0], folder, capsys)
    # Cats: 9:1 first. Dogs: 9:2 at 1, then 9:3 at 0.8. Fish: 7:1 at 0.99, then 7:2 at 0.6.
    coco, fashion = record["tasks"]["mscoco_task0"], record["tasks"]["fashioniq_task7"]
    assert coco["local"]["retrieved"]["recall@1"] == 0.5
    assert coco["local"]["retrieved"]["recall@5"] == 1.0
    assert fashion["local"]["retrieved"] == {
        "recall@1": 0.0,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "recall@50": 1.0,
    }
    assert (coco["headline"], fashion["headline"]) == ("recall@5", "recall@10")
    assert record["models"] == {"lamra": "lamra@1"}


def test_contents_go_as_published_and_get_no_instruction_of_the_stack(
    stack: tuple[str, Double], folder: Path, capsys
) -> None:
    measured(stack[0], folder, capsys, "--task", "fashioniq_task7", "--space", "lamra")
    bodies = stack[1].embedded
    assert {body.input_type for body in bodies} == {"document"}
    assert {body.model for body in bodies} == {"lamra"}
    texts = {part["text"] for body in bodies for one in body.input for part in one[-1:]
             if part["type"] == "text"}  # fmt: skip
    assert texts == {"Show it. fish.", "A fish."}


def test_the_global_pool_is_all_local_ones_where_no_union_is_there(
    stack: tuple[str, Double], folder: Path, capsys
) -> None:
    record = measured(stack[0], folder, capsys, "--pool", "both")
    coco = record["tasks"]["mscoco_task0"]
    assert (coco["local"]["candidates"], coco["global"]["candidates"]) == (3, 5)
    # The same five texts and picture are embedded once.
    assert sum(len(body.input) for body in stack[1].embedded) == 3 + 5
    # Dogs: 9:2, 9:3. Cats: 9:1. Fish: 7:1, then 7:2.
    assert coco["global"]["retrieved"]["recall@1"] == 0.5


def test_a_published_union_is_the_global_pool(
    stack: tuple[str, Double], folder: Path, capsys
) -> None:
    union = folder / "cand_pool/global/mbeir_union_test_cand_pool.jsonl"
    union.parent.mkdir()
    union.write_text(json.dumps(POOLS["mscoco_task0_test"][2]))
    record = measured(stack[0], folder, capsys, "--pool", "global", "--task", "mscoco_task0")
    found = record["tasks"]["mscoco_task0"]["global"]
    assert (found["candidates"], found["retrieved"]["recall@1"]) == (1, 0.5)


def test_reranking_adds_the_tasks_weight_of_yes(
    stack: tuple[str, Double], folder: Path, capsys
) -> None:
    record = measured(stack[0], folder, capsys, "--rerank", "--task", "mscoco_task0")
    found = record["tasks"]["mscoco_task0"]["local"]
    assert found["weight"] == 0.5
    # Cats: 9:1 has 1.0; 9:3 has 0.6 + 0.5. So 9:1 is second now. Dogs: 9:2 1.5, 9:3 1.3.
    assert found["retrieved"]["recall@1"] == 0.5
    assert found["reranked"] == {
        "recall@1": 0.0,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "recall@20": 1.0,
    }
    assert {body.instruction for body in stack[1].ranked} == {""}
    assert {key(body.query) for body in stack[1].ranked} == {"Find it. cats.", "Find it. dogs."}
    assert record["models"]["rank"] == "rank@1"


@pytest.mark.parametrize(
    ("task", "weight", "k"),
    [
        ("mscoco_task0", 0.5, 5),
        ("mscoco_task3", 0.1, 5),
        ("fashioniq_task7", 1.0, 10),
        ("fashion200k_task3", 1.0, 10),
        ("webqa_task1", 1.0, 5),
    ],
)
def test_weights_and_headlines_are_the_published_ones(task: str, weight: float, k: int) -> None:
    assert (mbeir.lamra_weight(task), mbeir.headline_k(task)) == (weight, k)


def test_of_equals_the_first_of_the_pool_is_nearer() -> None:
    pool = np.array([[0, 1], [1, 0], [1, 0]], dtype=np.float32)
    assert mbeir.nearest(np.array([1, 0], dtype=np.float32), pool, 2).places == [1, 2]


def test_the_table_is_printed(stack: tuple[str, Double], folder: Path, capsys) -> None:
    assert mbeir.main([str(folder), "--url", stack[0], "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "mscoco_task0" in shown
    assert "R@50" in shown


def test_a_query_always_draws_the_same_instruction(folder: Path) -> None:
    path = folder / "instructions/query_instructions.tsv"
    many = "\t".join(f"prompt {n}" for n in range(20))
    path.write_text(path.read_text().replace("find it", many))
    one, same = (read_task(folder, "mscoco_task0", seed=1) for _ in range(2))
    other = read_task(folder, "mscoco_task0", seed=2)
    assert one.queries == same.queries != other.queries


Change = Callable[[dict[str, Any]], object]
QUERY, POOL = (
    "query/test/mbeir_mscoco_task0_test.jsonl",
    "cand_pool/local/mbeir_mscoco_task0_test_cand_pool.jsonl",
)


@pytest.mark.parametrize(
    ("path", "change", "why"),
    [
        (QUERY, lambda one: one.update(qid="9"), "line 1: qid: an id is `dataset:number`"),
        (QUERY, lambda one: one.update(qid="9:7"), "line 1: qid: .*qrels.txt names nothing"),
        (QUERY, lambda one: one.update(query_txt=3), "line 1: query_txt: is not a text"),
        (QUERY, lambda one: one.update(query_modality="smell"), "line 1: query_modality: is none"),
        (QUERY, lambda one: one.update(query_modality="image"), "no instruction for 9, image"),
        (QUERY, lambda one: one.update(pos_cand_list=[]), "line 1: pos_cand_list: is not a list"),
        (QUERY, lambda one: one.update(pos_cand_list=["9:9"]), "pos_cand_list/0: no pool holds"),
        (QUERY, lambda one: one.update(query_img_path="x.png"), "query_img_path: there is no file"),
        (POOL, lambda one: one.update(did="9:2"), "line 2: did: 9:2 is there twice"),
        (POOL, lambda one: one.update(txt=""), "line 1: txt: there is neither"),
        (POOL, lambda one: one.update(txt=["a"]), "line 1: txt: is not a text"),
        (POOL, lambda one: one.update(img_path=3), "line 1: img_path: is not a path"),
        (POOL, lambda one: one.pop("modality"), "line 1: modality: is none of"),
        (POOL, lambda one: one.update(did=None), "line 1: did: "),
    ],
)
def test_errors_name_file_line_and_field(folder: Path, path: str, change: Change, why: str) -> None:
    first, *others = (folder / path).read_text().splitlines()
    record = json.loads(first)
    change(record)
    (folder / path).write_text("\n".join([json.dumps(record), *others]))
    with pytest.raises(BadFile, match=why) as refusal:
        read_task(folder, "mscoco_task0")
    assert path.rpartition("/")[2] in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        (QUERY, "{", "line 1: is not JSON"),
        (QUERY, "3", "line 1: is not a JSON object"),
        (POOL, "", "is empty"),
        ("qrels/test/mbeir_mscoco_task0_test_qrels.txt", "9:1 9:1", "line 1: is not `qid 0 did"),
        ("instructions/query_instructions.tsv", "h\na\tb", "line 2: is not query_modality"),
    ],
)
def test_broken_files_are_named(folder: Path, path: str, text: str, why: str) -> None:
    (folder / path).write_text(text)
    with pytest.raises(BadFile, match=why):
        read_task(folder, "mscoco_task0")


@pytest.mark.parametrize("path", [QUERY, POOL, "instructions/query_instructions.tsv"])
def test_a_missing_file_is_named(folder: Path, path: str) -> None:
    (folder / path).unlink()
    with pytest.raises(BadFile, match=r"mbeir_mscoco_task0|query_instructions"):
        read_task(folder, "mscoco_task0")


def test_a_folder_without_tasks_is_one_clear_line(tmp_path: Path, capsys) -> None:
    with pytest.raises(BadFile):
        task_names(tmp_path)
    assert mbeir.main([str(tmp_path), "--url", "http://127.0.0.1:9"]) == 1
    assert "holds no `mbeir_<task>_test.jsonl`" in capsys.readouterr().err
