"""What weights of methods and of P(Yes) would give on validation: a table to choose from.

python -m training.evaluate.fusion_weights --dialogues 2000 --queries 500

Of the test corpus no weight is chosen. Few dialogues choose badly: the corpus that validation
has by itself is seven times smaller than the one that results are reported on.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from training.data.world import corpus
from training.evaluate import retrieval_offline as retrieval
from training.evaluate.retrieval_offline import Scores
from training.evaluate.tables import plain_table, print_tables
from training.recipe import VERSION

WEIGHTS: Mapping[str, Sequence[float]] = {
    "lamra": (1.0, 4.0, 8.0, 16.0),
    "clip": (0.5, 1.0, 2.0),
    "bm25": (0.5, 1.0, 2.0),
}
P_YES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
SHOWN = 12
_RECALLS = ["recall@1", "recall@5", "recall@20"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("starter"))
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--dialogues", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=500)
    chosen = parser.parse_args()
    found = corpus.make_corpus("validation", chosen.dialogues, chosen.queries)
    gold = [query.gold for query in found.queries]
    at = {task: chosen.folder / task / chosen.version for task in ("base", "embed", "rank", "clip")}
    parts = {
        "lamra": retrieval.embed_scores(retrieval.load_reader(at["base"], at["embed"]), found),
        "clip": retrieval.clip_scores(at["clip"], found)["both"],
        "bm25": retrieval.bm25_scores(found),
    }
    alone = [[name, *retrieval.recalls(scores, gold).values()] for name, scores in parts.items()]
    print_tables(plain_table("One method alone", ["", *_RECALLS], alone))
    fused = sorted(weighed(parts, gold), key=_worth, reverse=True)
    rows = [[*weights.values(), *told.values()] for weights, told in fused[:SHOWN]]
    print_tables(plain_table("Fused, the best first", [*WEIGHTS, *_RECALLS], rows))
    served = retrieval.fused(parts, retrieval.Voices.of(retrieval.STARTER).fusion)
    judge = retrieval.load_judge(at["base"], at["rank"])
    p_yes = retrieval.judged(judge, found, retrieval.first(served))
    rows = [[weight, *told.values()] for weight, told in judged(served, p_yes, gold)]
    print_tables(
        plain_table("P(Yes) beside the profile's fusion", ["rerank_weight", *_RECALLS], rows)
    )


def weighed(
    parts: Mapping[str, Scores], gold: Sequence[Sequence[int]]
) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Each weighting of `WEIGHTS` and its recall.

    Args:
        parts: scores (queries, fragments) of every method.
        gold: numbers of the fragments that answer each query.
    """
    for weights in product(*(WEIGHTS[name] for name in parts)):
        chosen = dict(zip(parts, weights, strict=True))
        yield chosen, retrieval.recalls(retrieval.fused(parts, chosen), gold)


def judged(
    scores: Scores, p_yes: Scores, gold: Sequence[Sequence[int]]
) -> Iterator[tuple[float, dict[str, float]]]:
    """Each weight of `P_YES`, 0 before them, and the recall of the reranked."""
    for weight in (0.0, *P_YES):
        yield weight, retrieval.recalls(retrieval.reranked(scores, p_yes, weight), gold)


def _worth(one: tuple[Any, Mapping[str, float]]) -> float:
    """Both numbers that the corpus is judged by count alike."""
    return one[1]["recall_at_1"] + one[1]["recall_at_5"]


if __name__ == "__main__":
    main()
