"""What the benchmarks do with numbers; measuring itself needs a stack."""

import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import rerank, tables, throughput
from benchmarks.__main__ import beside
from benchmarks.markdown import table
from benchmarks.own_stack import copy_profile
from benchmarks.workload import QUERIES, TURNS, long_dialogues, short_dialogues
from colloquy.profile import Profile
from training.evaluate.latency import milliseconds, percentile
from training.evaluate.provenance import provenance

MADE_BY = {
    "time": "2026-01-02T03:04:05+00:00",
    "commit": "abc",
    "machine": {"cores": 2, "processor": "P", "memory_gib": 8.0, "load_1min": 0.1},
    "python": "3.11",
    "versions": {"torch": "2"},
}
SIDE = {"seconds": [1.0, 2.0], "median_s": 1.5, "equal_answers": 19, "answers": 20}
RATIO = {"median": 2.0, "lowest": 1.5, "highest": 2.5}
TIMES = {"p50": 10.0, "p95": 20.0, "requests": 80}
STATE = {"median_ms": 5.0, "cached_tokens": 128, "output_tokens": 9}
SPEED = {
    "command": "make bench",
    "made_by": MADE_BY,
    "throughput": {
        "turns": 40,
        "pictures": [3, 5],
        "queries": 10,
        "repeats": 2,
        "merged": True,
        "sides": dict.fromkeys((throughput.GATEWAY, throughput.BATCHED), SIDE),
        "times_faster_than": {throughput.BATCHED: RATIO},
    },
    "rerank": {
        "candidates": 20,
        "turns": 4,
        "pictures": [6, 11],
        "repeats": 2,
        "merged": False,
        "sides": {
            name: {"seconds": [0.25, 0.5], "median_s": 0.375, "most_apart": 0.0021}
            for name in (rerank.GATEWAY, rerank.BATCHED, rerank.SINGLE)
        },
        "times_faster_than": {rerank.SINGLE: RATIO},
    },
    "overhead": {
        "concurrency 1": {
            "gateway_ms": TIMES,
            "engine_ms": TIMES,
            "added_p50_ms": 0.0,
            "added_p95_ms": 0.0,
            "added_paired_median_ms": 1.5,
        }
    },
    "prefix": {
        "turns": 40,
        "dialogues": 2,
        "prompt_tokens": 900,
        "new": STATE,
        "the same again": STATE,
        "another query, same dialogue": STATE,
        "times_faster_again": RATIO,
        "times_faster_other": RATIO,
    },
    "footprint": {
        "ready_s": [30.0],
        "ready_median_s": 30.0,
        "pss_mib": {"gateway": 60, "engine": 900},
        "pss_mib_in_all": 960,
    },
}


def test_a_ratio_is_taken_within_a_repeat() -> None:
    assert throughput.ratio([2.0, 30.0, 6.0], [1.0, 10.0, 1.0]) == {
        "median": 3.0,
        "lowest": 2.0,
        "highest": 6.0,
    }


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_and_covers_its_share(values, share) -> None:
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_times_are_given_in_milliseconds() -> None:
    assert milliseconds([0.1, 0.2, 0.3]) == {"p50": 200.0, "p95": 300.0, "requests": 3}


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = "a\n<!-- x:begin -->\nold \\1\n<!-- x:end -->\nb <!-- y:begin --> <!-- y:end -->"
    found = tables.replace(page, "x", "new \\2")

    assert found == page.replace("old \\1", "new \\2")
    assert tables.replace(found, "x", "new \\2") == found


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="has no"):
        tables.replace("nothing", "x", "new")


def test_the_page_has_a_place_for_every_result(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(tables.PAGE.read_text())
    (tmp_path / "latest.json").write_text(json.dumps(SPEED))
    tables.rewrite(page, tmp_path)

    text = page.read_text()
    for name in tables.WRITERS:
        tables.replace(text, name, "")
    assert "19 of 20" in text
    assert "2.0 (1.5 to 2.5)" in text
    assert "960 MiB" in text
    assert "0.0021" in text
    assert "6 to 11 of them with pictures" in text


def test_every_written_table_says_where_it_comes_from() -> None:
    text = tables.speed(SPEED)

    for fact in ("make bench", "2 cores of P", "commit abc", "torch 2", "load 0.1"):
        assert fact in text


def test_a_part_that_was_not_measured_is_left_out() -> None:
    assert "Prefix" not in tables.speed({key: SPEED[key] for key in ("command", "made_by")})


def test_what_is_measured_by_itself_says_so_and_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    later = {**MADE_BY, "commit": "def"}
    alone = {"command": "make bench", "made_by": later, "prefix": SPEED["prefix"]}
    assert beside(alone, path) == alone

    path.write_text(json.dumps(SPEED))
    both = beside(alone, path)
    assert both["throughput"] == SPEED["throughput"]
    text = tables.speed(both)
    assert text.count("commit abc") == 1
    assert text.count("benchmarks --only prefix`") == text.count("commit def") == 1


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["x|y"], [None], [0.25]]).splitlines()[2:] == [
        "| x\\|y |",
        "| – |",
        "| 0.250 |",
    ]


def test_long_dialogues_have_the_size_that_the_page_names() -> None:
    for questions in islice(long_dialogues("a-test"), 3):
        assert len(questions) == QUERIES
        assert len(questions[0].case.dialogue.utterances) == TURNS
        assert len(questions[0].case.dialogue.images) >= 3


def test_what_is_reranked_are_fragments_of_one_dialogue_some_of_them_with_pictures() -> None:
    for ranking in rerank.rankings("a-test", 3):
        assert [len(turns) for turns in ranking.fragments] == [rerank.TURNS] * rerank.CANDIDATES
        assert len({turns[0].id for turns in ranking.fragments}) == rerank.CANDIDATES
        assert 0 < ranking.with_pictures < rerank.CANDIDATES
        prompts = ranking.prompts("qwen2-vl")
        assert all(ranking.query in prompt.user for prompt in prompts)


def test_another_name_gives_other_dialogues_and_the_same_name_the_same() -> None:
    one, again, other = (
        [q[0].case.texts for q in islice(short_dialogues(name), 4)] for name in ("a", "a", "b")
    )

    assert one == again
    assert not set(one) & set(other)


def test_numbers_come_with_machine_and_versions_and_without_paths() -> None:
    found = provenance()

    assert found["machine"]["cores"] >= 1
    assert "torch" in found["versions"]
    assert str(Path.cwd()) not in json.dumps(found)


def test_the_stack_of_the_bench_shares_nothing_with_the_one_that_runs(tmp_path) -> None:
    original = tables.CHECKOUT / "profiles" / "starter.yaml"
    before, after = Profile.load(original), Profile.load(copy_profile(original, tmp_path))

    assert after.root == before.root
    assert after.registry_dirs == before.registry_dirs
    assert after.run_dir != before.run_dir
    assert tmp_path in after.state_dir.parents
    assert after.gateway["port"] != before.gateway["port"]
    assert (after.engines, after.tasks) == (before.engines, before.tasks)
