import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colloquy.protocols.f2rvlm import format_answer
from training.evaluate import predictions, slices
from training.evaluate.cases import of_samples
from training.evaluate.f2rvlm import score
from training.evaluate.fragment_metrics import Chosen, micro

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
TAGGED = "<|utt_ids_start|>{}<|utt_ids_end|>;<|img_ids_start|>{}<|img_ids_end|>"


def read_as(utterances: str, images: str = "[]") -> Chosen:
    return predictions.chosen(TAGGED.format(utterances, images))


def test_a_file_scores_as_the_released_script_scored_it() -> None:
    rows, faults = predictions.read(FIXTURES / "predictions.jsonl")
    found = score(rows)

    assert faults == []
    assert found["micro"] == EXPECTED["predictions"]["micro"]
    assert found["macro"] == EXPECTED["predictions"]["macro"]


def test_slices_score_as_the_released_scripts_joined_and_scored_them() -> None:
    rows, _ = predictions.read(FIXTURES / "slices.jsonl")
    joined, faults = slices.merge(rows, slices.read_originals(FIXTURES / "dialogues.json"))

    assert faults == []
    assert score(joined)["micro"] == EXPECTED["slices"]["micro"]
    assert score(joined)["macro"] == EXPECTED["slices"]["macro"]


def test_slices_that_hold_whole_dialogues_need_no_originals() -> None:
    rows, _ = predictions.read(FIXTURES / "slices.jsonl")

    assert score(slices.merge_without_originals(rows))["micro"] == EXPECTED["slices"]["micro"]


def test_a_row_of_a_dialogue_that_is_not_among_the_originals_is_a_fault() -> None:
    rows, _ = predictions.read(FIXTURES / "slices.jsonl")
    joined, faults = slices.merge(rows, {})

    assert joined == []
    assert [fault.line for fault in faults] == [row.line for row in rows]
    assert "no whole dialogue is called 'd0'" in faults[0].why


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[1, 2]", {1, 2}),
        (" [1, 2] ", {1, 2}),
        ("[1, 1]", {1}),
        ("", set()),
        ("[1, 2", set()),
        ("[01]", set()),
        ("[1,]", set()),
        ('["1", 2]', {"1", 2}),
        ("[1.0]", {1}),
        ('"12"', {"1", "2"}),
        ('{"3": 0}', {"3"}),
        ("5", None),
        ("null", None),
        ("[[1, 2]]", None),
        ("[1,\n2]", set()),
    ],
)
def test_id_lists_are_read_as_the_released_script_reads_them(written, expected) -> None:
    found = read_as(written).utterances

    assert found == (None if expected is None else frozenset(expected))


def test_only_the_first_list_counts_and_words_around_it_do_not_matter() -> None:
    text = "Well: " + TAGGED.format("[1]", "[0]") + " or " + TAGGED.format("[2]", "[3]")

    assert predictions.chosen(text) == Chosen.of([1], [0])


def test_a_text_without_tags_names_nothing() -> None:
    assert predictions.chosen("I do not know") == Chosen.of()


@given(st.text())
def test_no_text_crashes_the_reader(text) -> None:
    predictions.chosen(text)
    predictions.chosen(TAGGED.format(text, text))
    predictions.universe(text)


@given(st.sets(st.integers(0, 500)), st.sets(st.integers(0, 50)))
def test_what_the_protocol_writes_is_read_back(utterances, images) -> None:
    text = format_answer(sorted(utterances), sorted(images))

    assert predictions.chosen(text) == Chosen.of(utterances, images)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, (20, 20)),
        ("nothing numbered", (20, 20)),
        ("<|utt_id_start|>7<|utt_id_end|> <|utt_id_start|>3<|utt_id_end|>", (7, 20)),
        ("<|utt_id_start|>0<|utt_id_end|> <|img_id_start|>2<|img_id_end|>", (0, 2)),
    ],
)
def test_the_universe_is_what_the_prompt_numbers(user, expected) -> None:
    assert predictions.universe(user) == expected


def test_only_the_first_user_turn_says_the_universe() -> None:
    messages = [
        {"role": "system", "content": "<|utt_id_start|>9<|utt_id_end|>"},
        {"role": "user", "content": "<|utt_id_start|>4<|utt_id_end|>"},
        {"role": "user", "content": "<|utt_id_start|>8<|utt_id_end|>"},
    ]

    assert predictions.universe(predictions.first_user_turn(messages)) == (4, 20)


GOOD = {"response": "", "labels": "", "messages": [], "dialogue_id": "d", "images": []}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        (json.dumps({"labels": ""}), "has no `response`"),
        (json.dumps({"response": ""}), "has no `labels`"),
        (json.dumps(GOOD | {"response": 3}), "`response` is not a text"),
        (json.dumps(GOOD | {"messages": "hello"}), "`messages` is not a list of messages"),
        (json.dumps(GOOD | {"messages": [{"role": "user", "content": []}]}), "is not text"),
        (json.dumps(GOOD | {"images": {"path": "x"}}), "`images` is not a list"),
        (json.dumps(GOOD | {"images": [{"bytes": None}]}), "images/0 has no path"),
        (
            json.dumps(
                GOOD
                | {
                    "messages": [
                        {"role": "user", "content": "<|utt_id_start|>9999999999<|utt_id_end|>"}
                    ]
                }
            ),
            "an id of the user message is too large",
        ),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line, why) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + line + "\n" + json.dumps(GOOD) + "\n")
    rows, faults = predictions.read(path)

    assert [row.line for row in rows] == [1, 4]
    assert [fault.line for fault in faults] == [3]
    assert why in faults[0].why


def test_our_own_predictions_are_written_in_upstreams_form(tmp_path, samples) -> None:
    questions = of_samples(samples)
    answers = [question.case.chosen(range(3)) for question in questions]
    predictions.write(tmp_path / "own.jsonl", questions, answers)
    rows, faults = predictions.read(tmp_path / "own.jsonl")

    direct = [q.judge(answer) for q, answer in zip(questions, answers, strict=True)]
    assert faults == []
    assert micro(row.judged() for row in rows) == micro(direct)
