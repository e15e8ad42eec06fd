import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from colloquy.contracts.fragments import FragmentSearchRequest
from loadtests.talks import MAX_TURNS, NoSamples, read_samples, searches

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def _sample(turns: int, language: str) -> dict[str, Any]:
    utterances: list[dict[str, Any]] = [
        {"id": n, "speaker": "a", "content": f"{language} {n}"} for n in range(turns - 1)
    ]
    utterances.append({"id": turns - 1, "speaker": "b", "content": [PICTURE]})
    queries = [{"query": f"{language} {n}", "answered_by": "text"} for n in range(2)]
    return {"dialogue": {"utterances": utterances}, "queries": queries}


SAMPLES = [_sample(14, "en"), _sample(30, "zh"), _sample(40, "long")]


def test_every_search_is_a_valid_request() -> None:
    for search in itertools.islice(searches(SAMPLES, seed=1, timeout_ms=5_000), 200):
        request = FragmentSearchRequest.model_validate(search.body)
        assert request.dialogue is not None
        assert len(request.dialogue.utterances) <= MAX_TURNS
        assert request.timeout_ms == 5_000
        assert bool(request.dialogue.images) == search.kind.startswith("pictures")


def test_the_same_seed_sends_the_same_and_another_sends_others() -> None:
    def bodies(seed: int) -> list[str]:
        return [json.dumps(s.body) for s in itertools.islice(searches(SAMPLES, seed=seed), 30)]

    assert bodies(1) == bodies(1)
    assert bodies(1) != bodies(2)


def test_all_kinds_of_searches_are_sent() -> None:
    kinds = {search.kind for search in itertools.islice(searches(SAMPLES, seed=3), 300)}
    assert kinds == {
        *("pictures", "text"),
        *("pictures, another query", "text, another query"),
    }


def test_missing_samples_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoSamples, match="cannot be read"):
        read_samples(tmp_path / "none.json")
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    with pytest.raises(NoSamples, match="there are no sample dialogues"):
        read_samples(empty)
