from datetime import UTC, datetime
from uuid import UUID

from colloquy.contracts.fragments import Filter
from colloquy.contracts.retrieval import Selection
from services.retriever.domain import Where
from services.retriever.selecting import where_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_nothing_given_selects_everything() -> None:
    assert where_of(Selection()).is_everything
    assert where_of(Selection(filter=Filter())).is_everything


def test_every_given_field_is_kept() -> None:
    selection = Selection.model_validate(
        {
            "ids": [str(UUID(int=1))],
            "filter": {
                "dialogue_id": ["d"],
                "speaker": ["Ann"],
                "after": NOON,
                "before": NOON,
                "metadata": {"year": [2026, "2026", True]},
            },
            "as": ["staff"],
            "before_revision": 3,
        }
    )
    assert where_of(selection) == Where(
        ids=(UUID(int=1),),
        dialogue_ids=("d",),
        speakers=("Ann",),
        after=NOON,
        before=NOON,
        metadata={"year": ('"year"=2026', '"year"="2026"', '"year"=true')},
        labels=("staff",),
        before_revision=3,
    )


def test_an_empty_list_is_not_the_same_as_none() -> None:
    where = where_of(Selection.model_validate({"ids": [], "as": []}))
    assert (where.ids, where.labels) == ((), ())
    assert not where.is_everything
