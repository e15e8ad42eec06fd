"""qdrant-client's local mode, in a process of its own.

python -m benchmarks.local_mode_worker FOLDER SIZE
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

TOP = 10
BATCH = 256


def main(folder: Path, size: str) -> None:
    warnings.simplefilter("ignore")  # it says that it is not meant for so many points
    points, queries = np.load(folder / f"{size}.npy"), np.load(folder / "queries.npy")
    client = QdrantClient(":memory:")
    parameters = VectorParams(size=points.shape[1], distance=Distance.COSINE)
    client.create_collection("bench", vectors_config=parameters)
    start = time.perf_counter()
    for at in range(0, len(points), BATCH):
        rows = points[at : at + BATCH]
        client.upsert(
            "bench",
            [PointStruct(id=at + n, vector=row.tolist(), payload={}) for n, row in enumerate(rows)],
        )
    stored = time.perf_counter() - start
    seconds, nearest = [], []
    for query in queries:
        start = time.perf_counter()
        found = client.query_points("bench", query=query.tolist(), limit=TOP).points
        seconds.append(time.perf_counter() - start)
        nearest.append([point.id for point in found])
    sys.stdout.write(json.dumps({"stored_s": stored, "seconds": seconds, "nearest": nearest}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
