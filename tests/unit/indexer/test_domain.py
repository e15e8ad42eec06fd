"""Pieces, their hashes and their ids."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from colloquy.contracts.content import Dialogue
from services.indexer.domain import content_of, digest, new_job_id, pieces_of, point_id, record_of


def dialogue(*contents: Any, **more: Any) -> Dialogue:
    turns = [{"speaker": "Ana", "content": content} for content in contents]
    return Dialogue.model_validate({"id": "d", "utterances": turns} | more)


def picture(number: int) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": f"blob:{number}"}}]


def test_a_points_id_never_changes() -> None:
    # What is stored is found by it: another id would leave every fragment twice.
    assert point_id("acme", "family", "d-1", 3) == UUID("0b326204-90ee-5122-8169-35accf122473")


def test_ids_of_other_places_are_others() -> None:
    ids = {
        point_id(tenant, shelf, identity, number)
        for tenant in ("a", "b")
        for shelf in ("a", "b")
        for identity in ("a", "b", 'a", "b')
        for number in (0, 1)
    }
    assert len(ids) == 2 * 2 * 3 * 2


def test_equal_dialogues_are_written_alike_however_they_came() -> None:
    one = {
        "id": "d",
        "metadata": {"a": 1, "b": 2},
        "utterances": [{"speaker": "A", "content": "x"}],
    }
    other = {
        "utterances": [{"content": "x", "id": 0, "speaker": "A", "ref": None}],
        "metadata": {"b": 2, "a": 1},
        "id": "d",
    }

    assert content_of(Dialogue.model_validate(one)) == content_of(Dialogue.model_validate(other))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_down_is_read_back(text: str) -> None:
    told = dialogue(text)

    written = content_of(told)

    assert Dialogue.model_validate_json(written) == told
    assert "\0" not in written
    assert len(digest(written)) == 64


def test_a_pieces_hash_is_of_everything_that_is_indexed() -> None:
    base = dialogue("a", picture(1), "c")
    hashes = {
        pieces_of(told, {0: [0, 1]})[0].content_hash
        for told in (
            base,
            dialogue("b", picture(1), "c"),
            dialogue("a", picture(2), "c"),
            dialogue("a", picture(1), "c", metadata={"x": 1}),
            dialogue("a", picture(1), "c", acl=["team"]),
        )
    }
    assert len(hashes) == 5
    assert pieces_of(dialogue("a", picture(1), "other"), {0: [0, 1]}) == pieces_of(
        base, {0: [0, 1]}
    )


def test_the_number_of_a_picture_counts_too() -> None:
    before, after = dialogue("x", picture(1)), dialogue(picture(1), picture(1))

    (one,), (two,) = pieces_of(before, {0: [1]}), pieces_of(after, {0: [1]})

    assert one.content_hash != two.content_hash


def test_a_piece_without_content_is_left_out_and_others_keep_their_numbers() -> None:
    told = dialogue("", "\n ", "x", picture(1))

    assert [piece.number for piece in pieces_of(told, {0: [0, 1], 1: [2], 2: [3]})] == [1, 2]


def test_a_record_shows_its_turns_with_their_own_ids() -> None:
    told = dialogue(picture(0), "x", [*picture(1), *picture(2)], metadata={"n": 1}, acl=["team"])
    (piece,) = pieces_of(told, {4: [1, 2]})

    record = record_of(told, piece, tenant="acme", collection="family", revision=2)

    assert record.id == point_id("acme", "family", "d", 4)
    assert ([turn.id for turn in record.utterances], record.image_ids) == ([1, 2], [1, 2])
    assert (record.number, record.revision) == (4, 2)
    assert (record.metadata, record.acl) == ({"n": 1}, ["team"])


def test_jobs_of_a_later_time_have_later_ids() -> None:
    assert new_job_id()[:12] <= new_job_id()[:12]
    assert len({new_job_id() for _ in range(100)}) == 100
