"""A weighting's recall is the recall of what the retriever would fuse with it."""

import numpy as np

from training.evaluate import fusion_weights

# The first method is right of both queries; the second has the answer last.
PARTS = {
    "lamra": np.array([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8]], dtype=np.float32),
    "bm25": np.array([[0.1, 0.2, 0.9], [0.1, 0.9, 0.2]], dtype=np.float32),
}


def test_each_weighting_is_there_once_and_the_stronger_voice_wins() -> None:
    gold = [[0], [0]]
    told = {tuple(w.items()): r["recall_at_1"] for w, r in fusion_weights.weighed(PARTS, gold)}
    assert len(told) == len(fusion_weights.WEIGHTS["lamra"]) * len(fusion_weights.WEIGHTS["bm25"])
    assert told[("lamra", 16.0), ("bm25", 0.5)] == 1.0
    assert told[("lamra", 1.0), ("bm25", 2.0)] == 0.0


def test_p_yes_lifts_what_it_knows() -> None:
    scores = np.array([[1 / 61, 1 / 62, 1 / 63], [1 / 61, 1 / 62, 1 / 63]], dtype=np.float32)
    p_yes = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, -1.0]], dtype=np.float32)
    told = {w: r["recall_at_1"] for w, r in fusion_weights.judged(scores, p_yes, [[0], [1]])}
    assert told[0.0] == 0.5
    assert told[1.0] == 1.0
