"""Micro F1 of retrieved ids, as upstream's evaluation counts it."""

from collections.abc import Sequence
from dataclasses import dataclass

from colloquy.protocols import f2rvlm


@dataclass(slots=True)
class Counts:
    """Hits and misses summed over samples."""

    hit: int = 0
    invented: int = 0
    missed: int = 0

    def add(self, predicted: Sequence[int], gold: Sequence[int]) -> None:
        found, wanted = set(predicted), set(gold)
        self.hit += len(found & wanted)
        self.invented += len(found - wanted)
        self.missed += len(wanted - found)

    @property
    def f1(self) -> float:
        total = 2 * self.hit + self.invented + self.missed
        return 2 * self.hit / total if total else 0.0


def fragment_scores(answers: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """Scores fragment answers against gold answers of the published form.

    Returns:
        utterance, image and joint F1; the share of well-formed answers; of empty gold, the share
        answered empty; of non-empty gold, the share answered empty.
    """
    utterances, images = Counts(), Counts()
    formed = right_empty = false_empty = empties = 0
    for text, truth in zip(answers, gold, strict=True):
        wanted = f2rvlm.parse_answer(truth)
        try:
            got = f2rvlm.parse_answer(text)
            formed += 1
        except f2rvlm.Malformed:
            got = f2rvlm.Answer((), ())
        utterances.add(got.utterance_ids, wanted.utterance_ids)
        images.add(got.image_ids, wanted.image_ids)
        is_empty = not got.utterance_ids and not got.image_ids
        if wanted.utterance_ids:
            false_empty += is_empty
        else:
            empties += 1
            right_empty += is_empty
    count = max(1, len(gold))
    return {
        "joint_f1": (utterances.f1 + images.f1) / 2,
        "utterance_f1": utterances.f1,
        "image_f1": images.f1,
        "well_formed": formed / count,
        "right_when_empty": right_empty / max(1, empties),
        "false_empty": false_empty / max(1, len(gold) - empties),
    }


def split_scores(answers: Sequence[str], gold: Sequence[str]) -> dict[str, float]:
    """Scores splits: F1 of boundaries (micro) and the share of exactly right splits."""
    boundaries = Counts()
    formed = exact = 0
    for text, truth in zip(answers, gold, strict=True):
        wanted = f2rvlm.parse_split(truth)
        try:
            got = f2rvlm.parse_split(text)
            everyone = [turn for run in wanted for turn in run]
            formed += f2rvlm.is_partition(got, everyone)
        except f2rvlm.Malformed:
            got = []
        exact += got == wanted
        boundaries.add([run[0] for run in got[1:] if run], [run[0] for run in wanted[1:]])
    count = max(1, len(gold))
    return {
        "boundary_f1": boundaries.f1,
        "exact": exact / count,
        "well_formed": formed / count,
    }
