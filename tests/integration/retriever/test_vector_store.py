"""The port to a vector store, held by both of its implementations."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from colloquy.servicekit.problems import CollectionMissing
from services.retriever.domain import (
    Key,
    Point,
    Schema,
    SpaceSchema,
    SparseVector,
    Where,
    metadata_terms,
)
from services.retriever.vector_store import VectorStore
from tests.integration.retriever.stores_at_hand import (
    EVERYTHING,
    HAS_NO_INDEXES,
    KEY,
    SCHEMA,
    STAGED,
    direction,
    edge_store,
    identity,
    numbers,
    point,
    server_store,
    terms,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    *HAS_NO_INDEXES,
]
TENANTS = ("acme", "acme2", "other")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["edge", "server"])
async def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[VectorStore]:
    folder = tmp_path_factory.mktemp("vectors")
    async with edge_store(folder) if request.param == "edge" else server_store() as store:
        yield store


@pytest_asyncio.fixture(loop_scope="module")
async def store(stores: VectorStore) -> VectorStore:
    """Without any collection."""
    await drop_all(stores, but=frozenset())
    return stores


@pytest_asyncio.fixture(loop_scope="module")
async def talks(stores: VectorStore) -> VectorStore:
    """With the collection open and empty; it may have had other points before."""
    await drop_all(stores, but=frozenset({KEY}))
    if await stores.open(KEY, SCHEMA) != SCHEMA:
        await stores.drop(KEY)
        await stores.open(KEY, SCHEMA)
    await stores.delete(KEY, EVERYTHING)
    return stores


async def drop_all(store: VectorStore, but: frozenset[Key]) -> None:
    for tenant in TENANTS:
        for name in {"talks", "only-staged", *await store.collections(tenant)}:
            for key in {Key(tenant, name), Key(tenant, name, staged=True)} - but:
                await store.drop(key)


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


async def test_opening_again_changes_nothing(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1)])

    assert await talks.open(KEY, SCHEMA) == SCHEMA
    assert await numbers(talks, KEY) == [1]


async def test_a_collection_keeps_the_schema_it_was_made_with(talks: VectorStore) -> None:
    other = Schema("documents", (SpaceSchema("clip", "clip@9", 4),))

    assert await talks.open(KEY, other) == SCHEMA
    assert await talks.schema(KEY) == SCHEMA


@pytest.mark.parametrize(
    "spaces",
    [
        (),
        (SpaceSchema("bm25", "x", 4),),
        (SpaceSchema("clip", "x", 4), SpaceSchema("clip", "y", 4)),
        (SpaceSchema("clip", "x", 0),),
    ],
)
async def test_a_schema_that_cannot_be_kept_is_refused(
    store: VectorStore, spaces: tuple[SpaceSchema, ...]
) -> None:
    with pytest.raises(ValueError, match="space"):
        await store.open(KEY, Schema("dialogues", spaces))

    assert await store.collections("acme") == []


async def test_a_point_comes_back_as_it_went(talks: VectorStore) -> None:
    record = {
        "number": 7,
        "big": 2**80,
        "text": 'quotes " and 猫 and \x00',
        "deep": [{"a": [None, True, 1.5]}],
        "empty": {},
    }
    sent = point(7, angle=30, words={3: 1.25, 2**32 - 1: 0.5}, record=record, times=(5.0, 9.5))
    await talks.upsert(KEY, [sent])

    [got], following = await talks.scroll(KEY, EVERYTHING, 10, None)

    assert following is None
    assert got.id == sent.id
    assert got.payload == sent.payload
    assert got.bm25 == sent.bm25
    for space in ("clip", "lamra"):
        assert got.vectors[space] == pytest.approx(sent.vectors[space], abs=1e-6)


async def test_upsert_replaces_the_whole_point(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1, dialogue="old", words={1: 1.0}, acl=["a"])])
    await talks.upsert(KEY, [point(1, dialogue="new", angle=90)])

    assert await talks.count(KEY, EVERYTHING) == 1
    assert await talks.count(KEY, Where(dialogue_ids=("old",))) == 0
    assert await talks.matching(KEY, terms({1: 1.0}), EVERYTHING, 5) == []
    [hit] = await talks.nearest(KEY, "clip", direction(90), EVERYTHING, 5, exact=True)
    assert hit.score == pytest.approx(1.0, abs=1e-6)
    assert hit.payload["acl"] == []


async def test_of_one_id_sent_twice_the_last_is_kept(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1, dialogue="first"), point(1, dialogue="last")])

    [got], _ = await talks.scroll(KEY, EVERYTHING, 10, None)
    assert got.payload["dialogue_id"] == "last"


async def test_nothing_can_be_stored_at_once(talks: VectorStore) -> None:
    await talks.upsert(KEY, [])

    assert await talks.count(KEY, EVERYTHING) == 0


def _vectors(**changed: Any) -> dict[str, Any]:
    return {"clip": direction(0), "lamra": direction(0)} | changed


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(_vectors(other=direction(0)), id="a space that the collection has not"),
        pytest.param({"clip": direction(0)}, id="a space is missing"),
        pytest.param(_vectors(clip=direction(0)[:-1]), id="too short"),
        pytest.param(_vectors(clip=[]), id="empty"),
        pytest.param(_vectors(clip=[float("nan")] + [0.0] * 7), id="NaN"),
        pytest.param(_vectors(clip=[float("inf")] + [0.0] * 7), id="infinite"),
        pytest.param(_vectors(clip=[1e300] + [0.0] * 7), id="infinite in 32 bits"),
        pytest.param(_vectors(clip=[0.0] * 8), id="zero"),
        pytest.param(_vectors(clip=[2.0] + [0.0] * 7), id="too long to be a direction"),
        pytest.param(_vectors(clip=["1"] * 8 + ["x"]), id="no numbers"),
    ],
)
async def test_a_bad_vector_is_refused_and_nothing_is_stored(
    talks: VectorStore, vectors: dict[str, Any]
) -> None:
    good = point(1)
    bad = Point(identity(2), vectors, good.bm25, good.payload)

    with pytest.raises(ValueError, match=r"vector|spaces"):
        await talks.upsert(KEY, [good, bad])

    assert await talks.count(KEY, EVERYTHING) == 0


@pytest.mark.parametrize(
    "bm25",
    [
        SparseVector((2, 1), (1.0, 1.0)),
        SparseVector((1, 1), (1.0, 1.0)),
        SparseVector((1, 2), (1.0,)),
        SparseVector((-1,), (1.0,)),
        SparseVector((2**32,), (1.0,)),
        SparseVector((1,), (float("nan"),)),
        SparseVector((1,), (1e300,)),
    ],
)
async def test_bad_terms_are_refused_and_nothing_is_stored(
    talks: VectorStore, bm25: SparseVector
) -> None:
    good = point(1)

    with pytest.raises(ValueError, match=r"term|weight"):
        await talks.upsert(KEY, [good, Point(identity(2), good.vectors, bm25, good.payload)])
    with pytest.raises(ValueError, match=r"term|weight"):
        await talks.matching(KEY, bm25, EVERYTHING, 5)

    assert await talks.count(KEY, EVERYTHING) == 0


@pytest.mark.parametrize("text", ["\ud800", float("nan")])
async def test_a_payload_that_is_no_json_is_refused(talks: VectorStore, text: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await talks.upsert(KEY, [point(1), point(2, record={"number": 2, "text": text})])

    assert await talks.count(KEY, EVERYTHING) == 0


@pytest.mark.parametrize("vector", [[0.0] * 8, direction(0)[:-1], [float("nan")] * 8])
async def test_a_bad_query_is_refused(talks: VectorStore, vector: list[float]) -> None:
    with pytest.raises(ValueError, match="vector"):
        await talks.nearest(KEY, "clip", vector, EVERYTHING, 5, exact=False)
    with pytest.raises(ValueError, match="vector"):
        await talks.similarities(KEY, "clip", vector, [identity(1)])


async def test_a_query_of_an_unknown_space_is_refused(talks: VectorStore) -> None:
    with pytest.raises(ValueError, match="space"):
        await talks.nearest(KEY, "other", direction(0), EVERYTHING, 5, exact=False)


async def test_a_vector_a_little_off_length_one_is_taken(talks: VectorStore) -> None:
    """Encoders in half precision make them so."""
    good = point(1)
    short = [0.995 * number for number in good.vectors["clip"]]
    await talks.upsert(
        KEY, [Point(good.id, {**good.vectors, "clip": short}, good.bm25, good.payload)]
    )

    [hit] = await talks.nearest(KEY, "clip", direction(0), EVERYTHING, 5, exact=True)
    assert hit.score == pytest.approx(1.0, abs=1e-5)


MANY = [
    point(1, dialogue="d1", speakers=["ann", "bob"], times=(100, 200), revision=1),
    point(2, dialogue="d1", speakers=["cid"], times=(200, 300), revision=2),
    point(3, dialogue="d2", speakers=["bob"], revision=3, metadata={"lang": "de", "n": 1}),
    point(4, dialogue="d3", speakers=["ann"], metadata={"lang": "en", "n": 1}, acl=["red"]),
    point(5, dialogue="d4", speakers=["dan"], metadata={"lang=de": "x"}, acl=["red", "blue"]),
]


def _metadata(**values: list[Any]) -> Where:
    return Where(
        metadata={
            name: tuple(term for value in any_of for term in metadata_terms({name: value}))
            for name, any_of in values.items()
        }
    )


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param(Where(), [1, 2, 3, 4, 5], id="nothing given"),
        pytest.param(Where(ids=(identity(2), identity(9))), [2], id="ids, one unknown"),
        pytest.param(Where(ids=()), [], id="no ids"),
        pytest.param(Where(dialogue_ids=("d1", "d3")), [1, 2, 4], id="any of two dialogues"),
        pytest.param(Where(dialogue_ids=()), [], id="no dialogue"),
        pytest.param(Where(dialogue_ids=("d",)), [], id="part of a name is none"),
        pytest.param(Where(speakers=("bob", "dan")), [1, 3, 5], id="any of two speakers"),
        pytest.param(Where(speakers=()), [], id="no speaker"),
        pytest.param(Where(after=at(200)), [1, 2], id="ends at or after"),
        pytest.param(Where(after=at(201)), [2], id="ends after"),
        pytest.param(Where(before=at(200)), [1, 2], id="begins at or before"),
        pytest.param(Where(before=at(199)), [1], id="begins before"),
        pytest.param(Where(after=at(120), before=at(130)), [1], id="overlaps from outside"),
        pytest.param(Where(after=at(0), before=at(99)), [], id="before all"),
        pytest.param(Where(after=at(301), before=at(999)), [], id="after all"),
        pytest.param(Where(after=datetime(1970, 1, 1, 0, 3, 21)), [2], id="no zone is UTC"),
        pytest.param(_metadata(lang=["de"]), [3], id="one value"),
        pytest.param(_metadata(lang=["de", "en"]), [3, 4], id="any value of a name"),
        pytest.param(_metadata(lang=["de", "en"], n=[1, 2]), [3, 4], id="all names"),
        pytest.param(_metadata(lang=["de"], n=[2]), [], id="one name holds not"),
        pytest.param(_metadata(n=["1"]), [], id="a number is not its text"),
        pytest.param(_metadata(n=[]), [], id="none of no values"),
        pytest.param(Where(labels=()), [1, 2, 3], id="no label sees what is open"),
        pytest.param(Where(labels=("blue",)), [1, 2, 3, 5], id="a label and what is open"),
        pytest.param(Where(labels=("red", "x")), [1, 2, 3, 4, 5], id="any of its labels"),
        pytest.param(Where(before_revision=3), [1, 2, 4, 5], id="older revisions"),
        pytest.param(Where(before_revision=1), [], id="no older revision"),
        pytest.param(
            Where(dialogue_ids=("d1",), speakers=("ann",), labels=()), [1], id="all must hold"
        ),
    ],
)
async def test_where_selects_for_every_question(
    talks: VectorStore, where: Where, expected: list[int]
) -> None:
    await talks.upsert(KEY, MANY)

    assert await numbers(talks, KEY, where) == expected
    assert await talks.count(KEY, where) == len(expected)
    for exact in (True, False):
        hits = await talks.nearest(KEY, "clip", direction(0), where, 10, exact=exact)
        assert sorted(hit.payload["record"]["number"] for hit in hits) == expected
    assert await talks.delete(KEY, where) == len(expected)
    assert await numbers(talks, KEY) == [n for n in range(1, 6) if n not in expected]


async def test_where_holds_for_words_too(talks: VectorStore) -> None:
    await talks.upsert(
        KEY, [point(1, words={5: 1.0}, dialogue="d1"), point(2, words={5: 1.0}, dialogue="d2")]
    )

    hits = await talks.matching(KEY, terms({5: 1.0}), Where(dialogue_ids=("d2",)), 5)

    assert [hit.id for hit in hits] == [identity(2)]


async def test_deleting_what_is_not_there_deletes_nothing(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1)])

    assert await talks.delete(KEY, Where(ids=(identity(2),))) == 0
    assert await talks.delete(KEY, Where(ids=(identity(1), identity(2)))) == 1
    assert await talks.count(KEY, EVERYTHING) == 0


async def test_pages_have_every_point_once_in_order(talks: VectorStore) -> None:
    order = np.random.default_rng(3).permutation(57).tolist()
    await talks.upsert(KEY, [point(n) for n in order])

    seen: list[UUID] = []
    cursor: UUID | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        page, cursor = await talks.scroll(KEY, EVERYTHING, 10, cursor)
        seen += [p.id for p in page]
        pages += 1

    assert seen == [identity(n) for n in range(57)]
    assert pages == 6


async def test_a_page_begins_at_its_cursor_even_when_that_is_gone(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(n) for n in range(6)])
    _, cursor = await talks.scroll(KEY, EVERYTHING, 3, None)
    await talks.delete(KEY, Where(ids=(identity(3),)))

    page, following = await talks.scroll(KEY, EVERYTHING, 3, cursor)

    assert cursor == identity(3)
    assert [p.id for p in page] == [identity(4), identity(5)]
    assert following is None


async def test_the_nearest_come_first_with_their_cosine(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(n, angle=n * 20) for n in range(6)])

    hits = await talks.nearest(KEY, "clip", direction(41), EVERYTHING, 3, exact=True)

    assert [hit.payload["record"]["number"] for hit in hits] == [2, 3, 1]
    expected = [np.cos(np.deg2rad(angle)) for angle in (1, 19, 21)]
    assert [hit.score for hit in hits] == pytest.approx(expected, abs=1e-5)


async def test_each_space_has_its_own_order(talks: VectorStore) -> None:
    """The points' vectors in the second space are turned the other way."""
    await talks.upsert(KEY, [point(n, angle=n * 20) for n in range(4)])

    [clip, *_] = await talks.nearest(KEY, "clip", direction(60), EVERYTHING, 5, exact=True)
    [lamra, *_] = await talks.nearest(KEY, "lamra", direction(60), EVERYTHING, 5, exact=True)

    assert (clip.id, lamra.id) == (identity(3), identity(0))


async def test_a_rare_word_counts_more_than_a_frequent_one(store: VectorStore) -> None:
    frequent, rare = 1, 2
    await store.open(KEY, SCHEMA)
    await store.upsert(KEY, [point(n, words={frequent: 1.0}) for n in range(9)])
    await store.upsert(KEY, [point(9, words={rare: 1.0}), point(10, words={7: 1.0})])

    hits = await store.matching(KEY, terms({frequent: 1.0, rare: 1.0}), EVERYTHING, 20)

    assert hits[0].id == identity(9)
    assert len(hits) == 10  # one has neither word
    # ln(1 + (N - n + 0.5) / (n + 0.5)) of 11 points, with the word in 1 and in 9 of them
    assert hits[0].score == pytest.approx(np.log(1 + 10.5 / 1.5), rel=1e-4)
    assert hits[-1].score == pytest.approx(np.log(1 + 2.5 / 9.5), rel=1e-4)


async def test_without_words_nothing_matches(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1, words={1: 1.0})])

    assert await talks.matching(KEY, terms({}), EVERYTHING, 5) == []
    assert await talks.matching(KEY, terms({99: 1.0}), EVERYTHING, 5) == []


async def test_known_points_have_their_cosine_and_unknown_ones_none(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(n, angle=n * 30) for n in range(4)])

    found = await talks.similarities(
        KEY, "clip", direction(0), [identity(3), identity(1), identity(8)]
    )

    assert found == {
        identity(1): pytest.approx(np.cos(np.pi / 6), abs=1e-5),
        identity(3): pytest.approx(0.0, abs=1e-5),
    }
    assert await talks.similarities(KEY, "clip", direction(0), []) == {}


async def test_tenants_with_equal_names_and_ids_never_meet(talks: VectorStore) -> None:
    theirs = Key("other", "talks")
    await talks.open(theirs, SCHEMA)
    await talks.upsert(KEY, [point(1, dialogue="ours", words={1: 1.0})])
    await talks.upsert(theirs, [point(1, dialogue="theirs", words={1: 1.0}, tenant="other")])
    await talks.upsert(theirs, [point(2, dialogue="theirs", tenant="other")])

    assert await talks.collections("acme") == ["talks"]
    assert await talks.count(KEY, EVERYTHING) == 1
    [hit] = await talks.nearest(KEY, "clip", direction(0), EVERYTHING, 9, exact=True)
    assert hit.payload["dialogue_id"] == "ours"
    [hit] = await talks.matching(KEY, terms({1: 1.0}), EVERYTHING, 9)
    assert hit.payload["dialogue_id"] == "ours"
    assert await talks.delete(KEY, EVERYTHING) == 1
    assert await talks.drop(KEY)
    assert await numbers(talks, theirs) == [1, 2]


async def test_a_point_belongs_to_the_tenant_of_its_collection_whatever_it_says(
    talks: VectorStore,
) -> None:
    await talks.upsert(KEY, [point(1, tenant="somebody-else")])

    assert await talks.count(KEY, EVERYTHING) == 1


async def test_collections_are_listed_by_name(store: VectorStore) -> None:
    for name in ("b", "a.1", "A"):
        await store.open(Key("acme", name), SCHEMA)
    await store.open(Key("acme", "only-staged", staged=True), SCHEMA)
    await store.open(Key("acme2", "c"), SCHEMA)

    assert await store.collections("acme") == ["A", "a.1", "b"]
    assert await store.collections("nobody") == []


async def test_what_is_dropped_is_gone_and_can_be_made_anew(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1)])

    assert await talks.drop(KEY) is True
    assert await talks.drop(KEY) is False
    with pytest.raises(CollectionMissing):
        await talks.count(KEY, EVERYTHING)
    await talks.open(KEY, Schema("documents", (SpaceSchema("clip", "clip@3", 4),)))
    assert (await talks.schema(KEY)).kind == "documents"
    assert await talks.count(KEY, EVERYTHING) == 0


async def test_every_method_says_that_a_collection_is_missing(store: VectorStore) -> None:
    for key in (KEY, STAGED):
        calls = [
            store.schema(key),
            store.upsert(key, [point(1)]),
            store.delete(key, EVERYTHING),
            store.delete(key, Where(ids=())),
            store.count(key, EVERYTHING),
            store.count(key, Where(ids=())),
            store.scroll(key, EVERYTHING, 1, None),
            store.nearest(key, "clip", direction(0), EVERYTHING, 1, exact=False),
            store.matching(key, terms({1: 1.0}), EVERYTHING, 1),
            store.matching(key, terms({}), EVERYTHING, 1),
            store.similarities(key, "clip", direction(0), [identity(1)]),
            store.optimise(key),
            store.unindexed(key),
            store.promote(key),
        ]
        for call in calls:
            with pytest.raises(CollectionMissing):
                await call
        assert await store.drop(key) is False


async def test_a_staged_copy_is_apart_until_it_is_promoted(talks: VectorStore) -> None:
    renewed = Schema("dialogues", (SpaceSchema("clip", "clip@2", 4),))
    await talks.upsert(KEY, [point(1)])
    await talks.open(STAGED, renewed)
    new = point(2)
    await talks.upsert(STAGED, [Point(new.id, {"clip": direction(0, 4)}, new.bm25, new.payload)])

    assert await numbers(talks, KEY) == [1]
    assert await numbers(talks, STAGED) == [2]
    assert await talks.schema(STAGED) == renewed
    await talks.promote(KEY)

    assert await talks.schema(KEY) == renewed
    assert await numbers(talks, KEY) == [2]
    assert await talks.collections("acme") == ["talks"]
    with pytest.raises(CollectionMissing):
        await talks.schema(STAGED)


async def test_a_staged_copy_can_be_given_up(talks: VectorStore) -> None:
    await talks.upsert(KEY, [point(1)])
    await talks.open(STAGED, SCHEMA)

    assert await talks.drop(STAGED) is True

    assert await numbers(talks, KEY) == [1]
    with pytest.raises(CollectionMissing):
        await talks.promote(KEY)
    await talks.open(STAGED, SCHEMA)
    assert await talks.count(STAGED, EVERYTHING) == 0


async def test_a_staged_copy_becomes_the_collection_where_there_was_none(
    store: VectorStore,
) -> None:
    await store.open(STAGED, SCHEMA)
    await store.upsert(STAGED, [point(1)])

    await store.promote(KEY)

    assert await numbers(store, KEY) == [1]


async def test_optimising_changes_no_answer(talks: VectorStore) -> None:
    points = [point(n, angle=n * 7, words={n % 5: 1.0}) for n in range(40)]
    await talks.upsert(KEY, points)
    before = await talks.nearest(KEY, "clip", direction(33), EVERYTHING, 10, exact=False)

    await talks.optimise(KEY)

    after = await talks.nearest(KEY, "clip", direction(33), EVERYTHING, 10, exact=False)
    assert [hit.id for hit in after] == [hit.id for hit in before]
    assert await numbers(talks, KEY) == list(range(40))


async def test_the_store_is_ready(talks: VectorStore) -> None:
    assert [check.ready for check in talks.checks()] == [True]
