"""Collections under load: ingestions of small batches, and searches over what is there."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtests.talks import searches

INGEST_SHARE = 0.2
"""Of the requests; the others search."""
BATCH = 8
SENT_AGAIN_SHARE = 0.25
"""Of the dialogues of a batch, with another content: as dialogues that go on."""
SEARCH = "/v1/fragments/search"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `kind` is a closed set, for the report; `answer` is what success says."""

    kind: str
    path: str
    body: Any
    answer: int


def batch(samples: list[dict[str, Any]], *, seed: int, name: str, size: int) -> list[Any]:
    """Dialogues with ids that begin with `name`; the same for the same seed."""
    talks = searches(samples, seed=seed)
    return [next(talks).body["dialogue"] | {"id": f"{name}-{n}"} for n in range(size)]


def requests(
    samples: list[dict[str, Any]], collection: str, *, seed: int, ingest_share: float = INGEST_SHARE
) -> Iterator[Request]:
    """Endless; the same for the same seed. Users of other seeds send other dialogues."""
    chance = random.Random(seed)
    talks = searches(samples, seed=seed)
    queries = [query["query"] for sample in samples for query in sample["queries"]]
    path = f"/v1/collections/{collection}/dialogues"
    sent = 0
    while True:
        if chance.random() >= ingest_share:
            body = {"query": chance.choice(queries), "collection": collection}
            yield Request("search", SEARCH, body, 200)
            continue
        numbers = []
        for _ in range(BATCH):
            again = sent > 0 and chance.random() < SENT_AGAIN_SHARE
            numbers.append(chance.randrange(sent) if again else sent)
            sent += not again
        told = [next(talks).body["dialogue"] | {"id": f"u{seed}-{n}"} for n in numbers]
        yield Request("ingest", path, told, 202)
