import pytest

from colloquy.cli.conditions import conditions, search_filter
from colloquy.cli.failure import CommandFailed


def test_a_value_is_text_unless_it_is_marked_as_json() -> None:
    assert conditions(["a=1", "b:=1", "c=x=y", "d=", "e:=true"]) == {
        "a": ["1"],
        "b": [1],
        "c": ["x=y"],
        "d": [""],
        "e": [True],
    }


@pytest.mark.parametrize("written", ["a", "=b", ":=b", "a:=x"])
def test_other_forms_are_refused_by_name(written: str) -> None:
    with pytest.raises(CommandFailed, match=written):
        conditions([written])


def test_a_filter_keeps_its_own_fields_apart_from_metadata() -> None:
    written = ["speaker=a", "speaker=b", "after=2026-01-01T00:00:00Z", "shop=kites", "shop=x"]
    assert search_filter(written) == {
        "speaker": ["a", "b"],
        "after": "2026-01-01T00:00:00Z",
        "metadata": {"shop": ["kites", "x"]},
    }
    assert search_filter([]) is None


def test_a_bound_stands_once() -> None:
    with pytest.raises(CommandFailed, match="`after` takes one value"):
        search_filter(["after=1", "after=2"])
