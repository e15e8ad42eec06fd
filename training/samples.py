"""Sample dialogues for the demonstration: held out, with queries the published model answers."""

import json
from pathlib import Path
from typing import Any

from training import generate, scoring
from training.data import prompts
from training.data.world import lexicon, splits
from training.data.world.dialogues import WorldDialogue
from training.data.world.queries import WorldQuery
from training.data.world.splits import Sample

WANTED = {"en": 3, "zh": 2}
FIRST, LAST = 0, 60  # numbers of validation dialogues to choose from
MIN_TURNS, MAX_TURNS = 14, 30


def write(path: Path, model: Any, processor: Any) -> None:
    """Chooses dialogues whose queries, one of them answered by a picture, are answered rightly."""
    from training.export import public_form

    chosen = []
    left = dict(WANTED)
    for number in range(FIRST, LAST):
        sample = splits.sample("validation", number, queries=6)
        dialogue = sample.dialogue
        if not left[dialogue.language] or not MIN_TURNS <= len(dialogue.turns) <= MAX_TURNS:
            continue
        queries = _queries(sample, model, processor)
        if len(queries) < 2 or all(query.answered_by != "picture" for query in queries):
            continue
        left[dialogue.language] -= 1
        chosen.append(
            {
                "title": _title(dialogue),
                "language": dialogue.language,
                "dialogue": public_form(dialogue).model_dump(mode="json", exclude_none=True),
                "queries": [
                    {"query": query.text, "answered_by": query.answered_by} for query in queries
                ],
            }
        )
        if not any(left.values()):
            break
    chosen.sort(key=lambda sample: str(sample["language"]))  # English first
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(chosen, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _title(dialogue: WorldDialogue) -> str:
    """Names the topics, a thing that is only shown included."""
    words = lexicon.load()
    names = []
    for topic in dialogue.topics:
        if topic.matter:
            told = topic.matter if dialogue.language == "en" else _first_ask(topic.matter)
        else:
            assert topic.item
            told = words.items[topic.item].say(dialogue.language)
        names.append(told)
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct).capitalize() if dialogue.language == "en" else "、".join(distinct)


def _first_ask(matter: str) -> str:
    return lexicon.load().matters[matter].zh.ask[0]


def _queries(sample: Sample, model: Any, processor: Any) -> list[WorldQuery]:
    """Up to three queries about different topics, answered (nearly) rightly; pictures first."""
    asked = {query.topics: query for query in sample.queries if query.answered_by != "nothing"}
    queries = sorted(asked.values(), key=lambda query: query.answered_by != "picture")
    examples = [prompts.fragment_example(sample.dialogue, query) for query in queries]
    told = generate.answers(model, processor, examples)
    good = [
        query
        for query, example, answer in zip(queries, examples, told, strict=True)
        if scoring.fragment_scores([answer], [example.answer])["utterance_f1"] >= 0.9
        and answer.partition(";")[2] == example.answer.partition(";")[2]
    ]
    return good[:3]
