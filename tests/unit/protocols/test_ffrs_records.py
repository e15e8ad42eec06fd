"""The released scripts' own files, in and out.

`fixtures/ffrs.json` holds what the released scripts read and wrote for three small dialogues: the
raw dialogues, the splitter's prompts, its answers, fragments and their summaries, what was
retrieved, F2RVLM's prompts, its answers, the answers as utterances, and the merged result.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from colloquy.protocols import f2rvlm, ffrs
from colloquy.protocols import ffrs_records as records
from colloquy.protocols.prompt import Malformed

UPSTREAM: dict[str, Any] = json.loads(
    (Path(__file__).parent / "fixtures/ffrs.json").read_text(encoding="utf-8")
)


def predicted(response: object, *lines: str, images: list[str] | None = None) -> dict[str, Any]:
    block = "\n".join(
        f"<|utt_id_start|>{number}<|utt_id_end|> {line}" for number, line in enumerate(lines)
    )
    return {
        "dialogue_id": "d",
        "messages": [{"role": "user", "content": f"对话内容如下：\n{block}"}],
        "images": images or [],
        "response": response,
    }


def asked(dialogue_id: str, number: int, lines: list[str], response: str) -> dict[str, Any]:
    fragment = records.read_fragment(
        {
            "dialogue_id": dialogue_id,
            "fragment_id": number,
            "response": "\n".join(lines),
            "images": ["x"] * sum(line.count("<image>") for line in lines),
        }
    )
    return {**records.prompt_record(fragment, "q", {}), "response": response}


def test_the_splitters_prompt_is_read_and_written_back_to_the_letter() -> None:
    for sample, prompt in zip(UPSTREAM["predictions"], UPSTREAM["split_prompts"], strict=True):
        read = records.read_split(sample)
        written = f2rvlm.render_split(read.utterances)
        assert written.system == prompt["messages"][0]["content"]
        assert written.user == prompt["messages"][1]["content"]
        assert list(written.images) == prompt["images"]


def test_a_predicted_split_becomes_upstreams_fragments_and_summary() -> None:
    samples = [records.read_split(sample) for sample in UPSTREAM["predictions"]]
    fragments = [one for sample in samples for one in records.fragment_records(sample)]
    assert fragments == UPSTREAM["fragments"]
    assert [records.summary_record(sample) for sample in samples] == UPSTREAM["summaries"]


def test_candidates_become_upstreams_prompts() -> None:
    fragments = {
        (one["dialogue_id"], one["fragment_id"]): records.read_fragment(one)
        for one in UPSTREAM["fragments"]
    }
    written = [
        records.prompt_record(fragments[key], query["query_text"], candidate)
        for query in UPSTREAM["retrieved"]
        for candidate in query["top20"]
        if (key := records.parse_key(candidate["key"])) in fragments
    ]
    assert written == UPSTREAM["prompts"]


def test_answers_become_upstreams_utterances() -> None:
    for answered, fused in zip(UPSTREAM["answers"], UPSTREAM["fused"], strict=True):
        expected = fused["meta"].get("response_fused_utt_ids", [])
        assert records.answered_utterances(answered) == expected


@pytest.mark.parametrize("step", ["answers", "fused"])
def test_answers_of_many_candidates_come_to_upstreams_result(step: str) -> None:
    assert records.merged_records(UPSTREAM[step], UPSTREAM["summaries"]) == UPSTREAM["merged"]


def test_a_picture_in_a_candidates_first_line_brings_its_utterance() -> None:
    """Upstream's pattern wants the line to begin with its number, and the first one begins with
    the words before the dialogue: its pictures bring nothing."""
    record = asked("d", 0, ["User1: <image>", "User2: b", "User1: <image>"], "")
    record["response"] = f2rvlm.format_answer([], [0, 1])
    upstream = [2]
    assert records.answered_utterances(record) == [0, 2] != upstream


def test_a_split_that_cannot_be_read_is_reported() -> None:
    """Upstream goes on with no fragments: nobody finds that dialogue again."""
    with pytest.raises(Malformed, match="list of lists"):
        records.read_split(predicted("sorry", "User1: a"))


def test_an_answer_about_an_unknown_fragment_is_reported() -> None:
    """Upstream passes the prompt's ids on as if they were the dialogue's."""
    record = asked("d", 3, ["User1: a"], f2rvlm.format_answer([0], []))
    for summaries in (
        [],
        UPSTREAM["summaries"],
        [{**UPSTREAM["summaries"][0], "dialogue_id": "d"}],
    ):
        with pytest.raises(Malformed, match="no summary"):
            records.merged_records([record], summaries)


def test_lines_are_translated_as_they_were_shown_even_from_upstreams_summaries() -> None:
    """A summary that upstream wrote holds the ids as predicted: unordered, and one invented."""
    summary = {
        "dialogue_id": "d",
        "fragment_count": 1,
        "fragments": [[2, 9, 0]],
        "all_utt_ids": [0, 1, 2],
    }
    record = asked("d", 0, ["User1: a", "User1: c"], f2rvlm.format_answer([0], []))
    (merged,) = records.merged_records([record], [summary])
    assert merged["results"][0]["merged"] == {"utt_ids": [0]}


def test_a_summary_names_only_utterances_that_exist_and_says_what_was_wrong() -> None:
    sample = records.read_split(predicted("[[2, 0], [0, 9]]", *(f"User1: {i}" for i in range(4))))
    summary = records.summary_record(sample)
    assert summary["fragments"] == [[0, 2], [0]]
    assert (summary["missing_ids"], summary["extra_ids"], summary["duplicate_ids"]) == (
        [1, 3],
        [9],
        [0],
    )
    assert summary["covered"] is False
    assert summary["union_pred_ids"] == [0, 2, 9]


def test_a_split_that_is_a_list_already_is_read_too() -> None:
    sample = records.read_split(predicted([[0], [1]], "User1: a", "User2: b"))
    assert sample.groups == ((0,), (1,))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (predicted("[[0]]", "User1: <image>"), "1 places for pictures, and 0 pictures"),
        (predicted("[[0]]", "User1: a", images=["x"]), "0 places for pictures, and 1 pictures"),
        (predicted("[[0]]", "nobody says this"), "line 0 names no speaker"),
        (predicted("[[0]]", f"{'a' * 65}: x"), "line 0 is no utterance"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": "<|utt_id_start|>0<|utt_id_end|> a: b\n"
                        "<|utt_id_start|>0<|utt_id_end|> a: c",
                    }
                ],
                "response": "[[0]]",
            },
            "same id",
        ),
    ],
)
def test_a_dialogue_that_does_not_hang_together_is_refused(
    record: dict[str, Any], why: str
) -> None:
    with pytest.raises(Malformed, match=why):
        records.read_split(record)


@pytest.mark.parametrize("response", ["User1: a\n\nUser2: b", "User1: one\ntwo", None])
def test_a_fragments_line_without_a_speaker_is_refused_and_not_dropped(response: object) -> None:
    with pytest.raises(Malformed):
        records.read_fragment({"dialogue_id": "d", "fragment_id": 0, "response": response})


@pytest.mark.parametrize("key", ["d", "d+", "d+x", "d+-1", "+"])
def test_a_key_that_names_no_fragment_is_refused(key: str) -> None:
    with pytest.raises(Malformed):
        records.parse_key(key)


def test_a_key_is_cut_at_its_last_plus() -> None:
    assert records.parse_key("short+3+0") == ("short+3", 0)


@pytest.mark.parametrize("number", [None, -1, "0", True])
def test_a_fragment_needs_a_number(number: object) -> None:
    with pytest.raises(Malformed, match="fragment_id"):
        records.read_fragment({"fragment_id": number, "response": "a: b"})


def test_a_separator_inside_an_utterance_does_not_cut_its_fragment() -> None:
    sample = records.read_split(predicted("[[0, 1]]", "User1: one\x0btwo\u2028three", "User2: b"))
    (fragment,) = records.fragment_records(sample)
    assert fragment["response"] == "User1: one two three\nUser2: b"
    assert len(records.read_fragment(fragment).utterances) == 2


def test_a_query_that_the_record_does_not_name_is_read_from_its_prompt() -> None:
    record = asked("fair_1", 0, ["User1: a", "User2: b"], f2rvlm.format_answer([0], []))
    record["meta"] = {}
    (merged,) = records.merged_records([record], UPSTREAM["summaries"])
    assert merged["query_text"] == "q"


def test_names_are_those_of_the_pipeline() -> None:
    """What the record functions say of a candidate equals what the pure steps say."""
    record = UPSTREAM["answers"][1]
    fragment = next(
        one for one in UPSTREAM["fragments"] if one["images"] == ["hill0.jpg", "hill1.jpg"]
    )
    owners = ffrs.picture_owners(records.read_fragment(fragment).utterances)
    answer = f2rvlm.parse_answer(record["response"])
    assert records.answered_utterances(record) == ffrs.with_owners(answer, owners)
