import pytest

from colloquy.media.blobs import BlobStore
from services.retriever.settings import Settings
from tests.doubles.vector_store import StoreDouble
from tests.integration.retriever.stack import (
    fragment,
    numbers,
    open_collection,
    painted,
    picture_part,
    retrieve,
    serving,
    stored,
    text_part,
    upsert,
)

pytestmark = pytest.mark.integration


def test_what_was_stored_is_found_by_its_words_and_its_picture(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore
) -> None:
    red = stored(blobs, painted((200, 0, 0)))
    blue = stored(blobs, painted((0, 0, 200)))
    with serving(clip_only, store) as client:
        opened = open_collection(client)
        assert opened["spaces"] == [
            {"name": "clip", "revision": "clip@1", "dimensions": 24, "current": True}
        ]
        answer = upsert(
            client,
            fragment(1, "I bought red shoes", [text_part("look"), picture_part(red)]),
            fragment(2, "the weather is fine", [picture_part(blue)]),
            fragment(3, "我买了一双红色的鞋子"),
        )
        assert answer == {"stored": 3, "faults": [], "models": {"clip": "clip@1"}}

        by_words = retrieve(client, query="shoe", methods=["bm25"])
        in_chinese = retrieve(client, query="鞋子", methods=["bm25"])
        by_picture = retrieve(client, query_image=blue, limit=1)

    assert numbers(by_words) == [1]
    assert by_words["candidates"][0]["similarity"] is None
    assert numbers(in_chinese) == [3]
    assert numbers(by_picture) == [2]
    found = by_picture["candidates"][0]
    assert found["fragment"]["utterances"][1]["content"] == [
        picture_part(blue) | {"image_url": {"url": blue, "detail": "auto"}}
    ]
    assert found["by_method"].keys() == {"clip"}
    assert by_picture["models"] == {"clip": "clip@1"}
    assert by_picture["degraded"] == []
