"""A flat scan with FAISS, as upstream searches; run by the competitors' interpreter.

    python faiss_worker.py FOLDER NAME…

Reads FOLDER/NAME.npy, (points, dimensions), and FOLDER/queries.npy, (queries, dimensions), both
of unit length; prints one JSON line a name: seconds of each query alone, and the nearest ten.
"""

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np

TOP = 10


def main(folder: Path, names: list[str]) -> None:
    faiss.omp_set_num_threads(1)
    queries = np.load(folder / "queries.npy")
    for name in names:
        points = np.load(folder / f"{name}.npy")
        index = faiss.IndexFlatIP(points.shape[1])
        start = time.perf_counter()
        index.add(points)
        built = time.perf_counter() - start
        seconds, nearest = [], []
        for query in queries:
            start = time.perf_counter()
            _, found = index.search(query[None], TOP)
            seconds.append(time.perf_counter() - start)
            nearest.append(found[0].tolist())
        print(json.dumps({"name": name, "built_s": built, "seconds": seconds, "nearest": nearest}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
