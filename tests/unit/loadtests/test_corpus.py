import itertools
import json
from collections import Counter

from colloquy.contracts.content import Dialogue
from colloquy.contracts.fragments import FragmentSearchRequest
from loadtests.corpus import BATCH, batch, requests
from tests.unit.loadtests.test_talks import SAMPLES


def test_every_request_is_a_valid_one_and_both_kinds_are_sent() -> None:
    sent = list(itertools.islice(requests(SAMPLES, "shelf", seed=1), 200))

    kinds = Counter(request.kind for request in sent)
    assert kinds["search"] > kinds["ingest"] > 20
    for request in sent:
        if request.kind == "search":
            assert FragmentSearchRequest.model_validate(request.body).collection == "shelf"
            continue
        assert (request.path, request.answer) == ("/v1/collections/shelf/dialogues", 202)
        assert len(request.body) == BATCH
        assert all(Dialogue.model_validate(told).id for told in request.body)


def test_some_dialogues_come_again_and_no_two_users_share_any() -> None:
    def ids(seed: int) -> list[str]:
        sent = itertools.islice(requests(SAMPLES, "shelf", seed=seed, ingest_share=1.0), 20)
        return [told["id"] for request in sent for told in request.body]

    assert len(set(ids(1))) < len(ids(1))
    assert not set(ids(1)) & set(ids(2))


def test_the_same_seed_sends_the_same() -> None:
    def bodies(seed: int) -> list[str]:
        return [
            json.dumps(request.body)
            for request in itertools.islice(requests(SAMPLES, "shelf", seed=seed), 30)
        ]

    assert bodies(1) == bodies(1)
    assert bodies(1) != bodies(2)
    assert batch(SAMPLES, seed=1, name="a", size=3) == batch(SAMPLES, seed=1, name="a", size=3)
