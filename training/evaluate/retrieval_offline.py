"""Recall on the corpus by models alone, without services: embed, clip, BM25, fused, reranked.

python -m training.evaluate.retrieval_offline --folder starter --split test
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch.nn.functional import normalize
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from colloquy.contracts.retrieval import RANK_CONSTANT
from colloquy.profile import Profile
from training import precision
from training.data import lamra
from training.data.pairs import Query
from training.data.world import corpus
from training.data.world.corpus import Corpus, CorpusSplit
from training.data.world.dialogues import Turn
from training.embed import Reader
from training.evaluate import clip_alone, lexical
from training.judge import Judge
from training.recipe import VERSION

KS = (1, 5, 20)
CHUNK = 240
POOL = 20  # candidates that are reranked
LISTED = 5
GROUP = 10  # candidates judged in one row
METHODS = {"embed": "lamra", "clip": "clip", "bm25": "bm25"}  # as the profile calls them
STARTER = Path("profiles/starter.yaml")
PROPOSALS = 100  # of each method, as the retriever has it where a profile says nothing
NOWHERE = -1.0  # score of a fragment that a method does not find
NOT_JUDGED = -1.0  # P(Yes) of a fragment that no one asked about
Scores = NDArray[np.floating[Any]]
"""(queries, fragments), higher is nearer."""


def turns_of(found: Corpus, number: int) -> tuple[Turn, ...]:
    """The turns of fragment `number`."""
    fragment = found.fragments[number]
    turns = found.dialogues[fragment.dialogue].turns
    return tuple(turns[turn] for turn in fragment.utterance_ids)


def recalls(scores: Scores, golds: Sequence[Sequence[int]]) -> dict[str, float]:
    """Share of queries that have any gold fragment among the first k, as LamRA measures it."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, : max(KS)]
    hits = np.array([np.isin(row, list(gold)) for row, gold in zip(order, golds, strict=True)])
    if not golds:
        return {f"recall_at_{k}": 0.0 for k in KS}
    return {f"recall_at_{k}": round(float(hits[:, :k].any(axis=1).mean()), 4) for k in KS}


@dataclass(frozen=True, slots=True)
class Voices:
    """What the parts of a final score count, as a profile has them.

    Attributes:
        fusion: by method of search; 1 where nothing is said.
        p_yes: P(Yes), in first places of one method.
    """

    fusion: Mapping[str, float]
    p_yes: float

    @classmethod
    def of(cls, path: Path) -> Self:
        profile = Profile.load(path)
        weights = (profile.retriever or {}).get("fusion_weights", {})
        return cls(weights, profile.gateway.get("rerank_weight", 1.0))


def fused(parts: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Weighed reciprocal rank fusion, of the first so many of each method as in the retriever."""
    total = np.zeros_like(next(iter(parts.values())))
    for method, scores in parts.items():
        order = np.argsort(-scores, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1)[None], axis=1)
        part = weights.get(method, 1.0) / (RANK_CONSTANT + ranks)
        proposed = (scores > NOWHERE) & (ranks <= PROPOSALS)
        total += np.where(proposed, part, 0.0).astype(np.float32)
    return total


# --- models -----------------------------------------------------------------------------------


def load_reader(base: Path, adapter: Path) -> Reader:
    """Published weights as they are served: adapter unmerged."""
    model, processor = _served(base, adapter)
    return Reader(model, processor).eval()


def load_judge(base: Path, adapter: Path) -> Judge:
    model, processor = _served(base, adapter)
    return Judge(model, processor).eval()


def _served(base: Path, adapter: Path) -> tuple[Any, Any]:
    model = Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=precision.dtype())
    served = PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False)
    return served, AutoProcessor.from_pretrained(base)


@torch.no_grad()
def embed_scores(reader: Reader, found: Corpus) -> Scores:
    """Cosines of an embedding adapter."""
    queries = [lamra.query_content(Query(query.text, query.facets)) for query in found.queries]
    fragments = [
        lamra.fragment_content(turns_of(found, number)) for number in range(len(found.fragments))
    ]
    asked, told = (
        torch.cat(
            [
                reader.embed([lamra.embedding(content) for content in part[start : start + CHUNK]])
                for start in range(0, len(part), CHUNK)
            ]
        )
        for part in (queries, fragments)
    )
    return (asked.float() @ told.float().T).float().numpy()  # type: ignore[no-any-return]


@torch.no_grad()
def clip_scores(folder: Path, found: Corpus) -> dict[str, Scores]:
    """Cosines of queries with what fragments say, with the nearest of their pictures, and with
    the sum of both, which is the one vector that serving keeps."""
    model = clip_alone.Clip(folder)
    asked = model.texts([query.text for query in found.queries])
    fragments = [turns_of(found, number) for number in range(len(found.fragments))]
    told = model.texts([" ".join(turn.text for turn in turns if turn.text) for turns in fragments])
    shown = [(n, turn.picture) for n, turns in enumerate(fragments) for turn in turns]
    pictures = [(number, spec) for number, spec in shown if spec]
    seen = model.pictures([spec for _, spec in pictures])
    near = (asked @ seen.T).numpy()
    owners = torch.tensor([number for number, _ in pictures])
    mean = torch.zeros_like(told).index_add(0, owners, seen)
    # As serving joins what a content says and shows.
    both = normalize(told + normalize(mean, dim=-1), dim=-1)
    by_picture = np.full((len(found.queries), len(fragments)), NOWHERE, dtype=np.float32)
    for column, (number, _) in enumerate(pictures):
        by_picture[:, number] = np.maximum(by_picture[:, number], near[:, column])
    return {
        "both": (asked @ both.T).numpy(),
        "text": (asked @ told.T).numpy(),
        "picture": by_picture,
    }


def bm25_scores(found: Corpus) -> Scores:
    """Of words as jieba cuts them; the retriever also stems and fixes the average length."""
    from rank_bm25 import BM25Okapi

    texts = [
        lexical.words(" ".join(turn.text for turn in turns_of(found, number)))
        for number in range(len(found.fragments))
    ]
    index = BM25Okapi(texts)
    rows = [index.get_scores(lexical.words(query.text)) for query in found.queries]
    # A fragment that shares no word is not found.
    return np.where(np.array(rows) > 0, rows, NOWHERE).astype(np.float32)


def first(scores: Scores, count: int = POOL) -> dict[int, list[int]]:
    """Each query's candidates: the fragments of its `count` highest scores, best first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return dict(enumerate(order.tolist()))


@torch.no_grad()
def judged(judge: Judge, found: Corpus, candidates: Mapping[int, Sequence[int]]) -> Scores:
    """P(Yes) of the candidates of each query, by its number; what is none has -1."""
    table = np.full((len(found.queries), len(found.fragments)), NOT_JUDGED, dtype=np.float32)
    for row, chosen in candidates.items():
        query = found.queries[row]
        content = lamra.query_content(Query(query.text, query.facets))
        for start in range(0, len(chosen), GROUP):
            group = list(chosen[start : start + GROUP])
            contents = [lamra.fragment_content(turns_of(found, number)) for number in group]
            table[row, group] = judge.p_yes(content, contents).float().numpy()
    return table


# --- tables -----------------------------------------------------------------------------------


def recalls_of(reader: Reader, split: CorpusSplit) -> dict[str, float]:
    found = corpus.load_corpus(split)
    return recalls(embed_scores(reader, found), [query.gold for query in found.queries])


def reranked(scores: Scores, p_yes: Scores, weight: float) -> Scores:
    """Fused scores and P(Yes) of the judged, as the gateway adds them."""
    added = scores.astype(np.float64) + weight * p_yes / (RANK_CONSTANT + 1)
    return np.where(p_yes >= 0, added, scores)


def contested(found: Corpus, scores: Scores) -> dict[int, list[int]]:
    """For each query with both among its candidates: the best that answers it, the best wrong."""
    pairs = {}
    for row, chosen in first(scores).items():
        right = [number for number in chosen if number in found.queries[row].gold]
        wrong = [number for number in chosen if number not in found.queries[row].gold]
        if right and wrong:
            pairs[row] = [right[0], wrong[0]]
    return pairs


def accuracy(pairs: Mapping[int, Sequence[int]], p_yes: Scores) -> float:
    """Share that P(Yes) tells at a half, of a right and a wrong candidate for each query."""
    told = [p_yes[row, right] > 0.5 for row, (right, _) in pairs.items()]
    told += [p_yes[row, wrong] <= 0.5 for row, (_, wrong) in pairs.items()]
    return round(float(np.mean(told)), 4) if told else 0.0


def by_kind(scores: Scores, found: Corpus) -> dict[str, dict[str, float]]:
    """Recall over all queries and over some kinds of them."""
    own = [found.dialogues[fragment.dialogue].language for fragment in found.fragments]
    kinds = {
        "all": [True] * len(found.queries),
        "picture": [query.answered_by == "picture" for query in found.queries],
        "text": [query.answered_by == "text" for query in found.queries],
        "novel": [query.novel for query in found.queries],
        "foreign": [all(own[n] != q.language for n in q.gold) for q in found.queries],
    }
    table = {}
    for kind, chosen in kinds.items():
        rows = [row for row, is_kind in enumerate(chosen) if is_kind]
        table[kind] = recalls(scores[rows], [found.queries[row].gold for row in rows])
    return table


def tables(
    folder: Path, version: str, split: CorpusSplit, queries: int | None = None
) -> dict[str, Any]:
    """Every system's recall on a corpus, from published checkpoints; `embed_base` is the base
    without its adapter.

    Args:
        queries: only the first so many.
    """
    found = corpus.load_corpus(split)
    found = replace(found, queries=found.queries[:queries])
    at = {task: folder / task / version for task in ("base", "embed", "rank", "clip")}
    scores: dict[str, Scores] = {"bm25": bm25_scores(found)}
    if at["clip"].exists():
        near = clip_scores(at["clip"], found)
        scores |= {"clip_text": near["text"], "clip_picture": near["picture"]}
        scores["clip"] = near["both"]
    if at["embed"].exists():
        reader = load_reader(at["base"], at["embed"])
        scores["embed"] = embed_scores(reader, found)
        with reader.model.disable_adapter():
            scores["embed_base"] = embed_scores(reader, found)
    voices = Voices.of(STARTER)
    parts = {method: scores[name] for name, method in METHODS.items() if name in scores}
    scores["fused"] = fused(parts, voices.fusion)
    result: dict[str, Any] = {}
    if at["rank"].exists() and "embed" in scores:
        judge = load_judge(at["base"], at["rank"])
        p_yes = judged(judge, found, first(scores["fused"]))
        scores["fused_reranked"] = reranked(scores["fused"], p_yes, voices.p_yes)
        pairs = contested(found, scores["fused"])
        result["pointwise_accuracy"] = accuracy(pairs, p_yes)
        with judge.model.disable_adapter():
            result["base_accuracy"] = accuracy(pairs, judged(judge, found, pairs))
    table: Mapping[str, Any] = {name: by_kind(values, found) for name, values in scores.items()}
    return result | dict(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("starter"))
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    chosen = parser.parse_args()
    measured = tables(chosen.folder, chosen.version, chosen.split)
    show = partial(json.dumps, ensure_ascii=False)
    for name, value in measured.items():
        print(f"{name}: {show(value['all'] if isinstance(value, dict) else value)}")
    print(show(measured))


if __name__ == "__main__":
    main()
