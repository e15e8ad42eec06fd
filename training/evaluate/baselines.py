"""What the model has to beat, on the same queries. Everything tuned is tuned on validation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from training.evaluate.cases import Question
from training.evaluate.fragment_metrics import Chosen, micro
from training.evaluate.lexical import SMOOTHING_TURNS, bm25_scores, smoothed

STEPS = 25
GRID = tuple(tenth / 10 for tenth in range(11))
Position = Literal["first", "last", "longest", "shortest"]


class Baseline(Protocol):
    """Answers a question without a model."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, float | str]: ...

    def predict(self, question: Question) -> Chosen: ...


Scorer = Callable[[Question], tuple[float, ...]]
"""How near each utterance of a question's dialogue is to its query."""


def bm25(question: Question) -> tuple[float, ...]:
    return bm25_scores(question.case.texts, question.query.text)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Every utterance whose score reaches a threshold."""

    threshold: float
    relative: bool
    reach_turns: int
    scorer: Scorer = bm25
    scored_by: str = "BM25"

    @property
    def name(self) -> str:
        return f"{self.scored_by}, tuned threshold" + (", smoothed" if self.reach_turns else "")

    @property
    def settings(self) -> dict[str, float | str]:
        of = "of the best utterance's score" if self.relative else "absolute"
        return {"threshold": self.threshold, "of": of, "reach_turns": self.reach_turns}

    def predict(self, question: Question) -> Chosen:
        scores = self.scaled(question)
        return question.case.chosen(i for i, s in enumerate(scores) if s >= self.threshold)

    def scaled(self, question: Question) -> tuple[float, ...]:
        """What is held against the threshold."""
        scores = smoothed(self.scorer(question), self.reach_turns)
        highest = max(scores)
        relative = self.relative and highest > 0
        return tuple(score / highest for score in scores) if relative else scores


@dataclass(frozen=True, slots=True)
class Bm25TrueCount:
    """The best utterances, as many as the gold has: it is told what no one knows."""

    @property
    def name(self) -> str:
        return "BM25, true count"

    @property
    def settings(self) -> dict[str, float | str]:
        return {}

    def predict(self, question: Question) -> Chosen:
        scores = bm25(question)
        order = sorted(range(len(scores)), key=lambda turn: (-scores[turn], turn))
        return question.case.chosen(order[: len(question.query.utterance_ids)])


@dataclass(frozen=True, slots=True)
class Window:
    """The same part of every dialogue, whatever is asked."""

    start: float
    stop: float

    @property
    def name(self) -> str:
        return "query-blind window"

    @property
    def settings(self) -> dict[str, float | str]:
        return {"start": self.start, "stop": self.stop}

    def predict(self, question: Question) -> Chosen:
        turns = len(question.case.world.turns)
        return question.case.chosen(range(round(self.start * turns), round(self.stop * turns)))


@dataclass(frozen=True, slots=True)
class TrueTopic:
    """One of the true topics, whatever is asked: it is told where topics begin and end."""

    position: Position

    @property
    def name(self) -> str:
        return "query-blind true topic"

    @property
    def settings(self) -> dict[str, float | str]:
        return {"position": self.position}

    def predict(self, question: Question) -> Chosen:
        world = question.case.world
        spans = [world.turns_about(topic) for topic in range(len(world.topics))]
        pick: dict[Position, Callable[[], list[int]]] = {
            "first": lambda: min(spans),
            "last": lambda: max(spans),
            "longest": lambda: max(spans, key=len),
            "shortest": lambda: min(spans, key=len),
        }
        return question.case.chosen(pick[self.position]())


def tuned(validation: Sequence[Question]) -> list[Baseline]:
    """All baselines; the first is plain BM25, which the model is measured against."""
    return [
        tuned_threshold(validation, (0,)),
        Bm25TrueCount(),
        tuned_threshold(validation, SMOOTHING_TURNS[1:]),
        _best([Window(a, b) for a in GRID for b in GRID if a < b], validation),
        _best([TrueTopic(p) for p in ("first", "last", "longest", "shortest")], validation),
    ]


def joint_f1_of(baseline: Baseline, questions: Iterable[Question]) -> float:
    return micro(question.judge(baseline.predict(question)) for question in questions).joint.f1


def _best(candidates: Sequence[Baseline], validation: Sequence[Question]) -> Baseline:
    # The first of equals, so that the choice is the same on every run.
    return max(candidates, key=lambda candidate: joint_f1_of(candidate, validation))


def tuned_threshold(
    validation: Sequence[Question],
    reaches: Iterable[int],
    scorer: Scorer = bm25,
    scored_by: str = "BM25",
) -> Baseline:
    """The best of thresholds at even steps through the scores that occur, for each reach and both
    scales."""
    found: list[Baseline] = []
    for reach in reaches:
        for relative in (False, True):
            plain = Threshold(0.0, relative, reach, scorer, scored_by)
            scores = sorted({s for question in validation for s in plain.scaled(question)})
            steps = {scores[len(scores) * step // STEPS] for step in range(STEPS)} if scores else {}
            found += [replace(plain, threshold=value) for value in sorted(steps)]
    return _best(found, validation)
