"""What the model has to beat, on the same queries. Everything tuned is tuned on validation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Bm25Threshold:
    """Every utterance whose score reaches a threshold."""

    threshold: float
    relative: bool
    reach_turns: int

    @property
    def name(self) -> str:
        return "BM25, tuned threshold" + (", smoothed" if self.reach_turns else "")

    @property
    def settings(self) -> dict[str, float | str]:
        of = "of the best utterance's score" if self.relative else "absolute"
        return {"threshold": self.threshold, "of": of, "reach_turns": self.reach_turns}

    def predict(self, question: Question) -> Chosen:
        scores = _scores(question, self.reach_turns, relative=self.relative)
        return question.case.chosen(i for i, s in enumerate(scores) if s >= self.threshold)


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
        scores = _scores(question, 0, relative=False)
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
        _best(_thresholds(validation, (0,)), validation),
        Bm25TrueCount(),
        _best(_thresholds(validation, SMOOTHING_TURNS[1:]), validation),
        _best([Window(a, b) for a in GRID for b in GRID if a < b], validation),
        _best([TrueTopic(p) for p in ("first", "last", "longest", "shortest")], validation),
    ]


def joint_f1_of(baseline: Baseline, questions: Iterable[Question]) -> float:
    return micro(question.judge(baseline.predict(question)) for question in questions).joint.f1


def _best(candidates: Sequence[Baseline], validation: Sequence[Question]) -> Baseline:
    # The first of equals, so that the choice is the same on every run.
    return max(candidates, key=lambda candidate: joint_f1_of(candidate, validation))


def _thresholds(questions: Sequence[Question], reaches: Iterable[int]) -> list[Baseline]:
    """Thresholds at even steps through the scores that occur, for each reach and both scales."""
    found: list[Baseline] = []
    for reach in reaches:
        for relative in (False, True):
            scores = sorted(
                {s for question in questions for s in _scores(question, reach, relative=relative)}
            )
            steps = {scores[len(scores) * step // STEPS] for step in range(STEPS)} if scores else {}
            found += [Bm25Threshold(value, relative, reach) for value in sorted(steps)]
    return found


def _scores(question: Question, reach_turns: int, *, relative: bool) -> tuple[float, ...]:
    scores = smoothed(_bm25(question), reach_turns)
    highest = max(scores)
    return tuple(score / highest for score in scores) if relative and highest > 0 else scores


def _bm25(question: Question) -> tuple[float, ...]:
    return bm25_scores(question.case.texts, question.query.text)
