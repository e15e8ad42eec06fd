"""Candidates of a collection: scored, kept, and put together dialogue by dialogue. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from colloquy.contracts.content import Dialogue, Utterance
from colloquy.contracts.fragments import FoundFragment, Scores
from colloquy.contracts.generation import FragmentAnswer
from colloquy.contracts.retrieval import RANK_CONSTANT, Candidate, FragmentRecord
from colloquy.protocols import ffrs, lamra
from colloquy.servicekit.problems import UpstreamFailed

_FIRST_PLACE = 1 / (RANK_CONSTANT + 1)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its scores."""

    fragment: FragmentRecord
    scores: Scores


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a candidate, in the ids of its dialogue."""

    ranked: Ranked
    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...]

    @property
    def empty(self) -> bool:
        return not self.utterance_ids and not self.image_ids


# --- ranking ------------------------------------------------------------------------------------


def as_retrieved(candidates: Sequence[Candidate]) -> list[Ranked]:
    """In the order of retrieval; its score is final."""
    return [
        Ranked(one.fragment, Scores(retrieval=one.similarity, final=one.score))
        for one in candidates
    ]


def by_yes(
    candidates: Sequence[Candidate], p_yes: Sequence[float | None], weight: float
) -> list[Ranked]:
    """The pointwise order.

    Where one method found the candidates it is LamRA's: the cosine and `weight` times P(Yes). Where
    several did, their fused rank says more than any cosine, so it stays, and P(Yes) is one voice
    more: certainty is worth `weight` first places (ADR 8). What is missing counts as 0.
    """
    several = len({method for one in candidates for method in one.by_method}) > 1
    ranked = [
        Ranked(
            one.fragment,
            Scores(
                retrieval=one.similarity,
                rerank=yes,
                final=one.score + weight * (yes or 0.0) * _FIRST_PLACE
                if several
                else lamra.fused(one.similarity or 0.0, yes or 0.0, weight),
            ),
        )
        for one, yes in zip(candidates, p_yes, strict=True)
    ]
    return sorted(ranked, key=lambda one: -(one.scores.final or 0.0))


def by_number(candidates: Sequence[Candidate], chosen: Sequence[float | None]) -> list[Ranked]:
    """LamRA's listwise order: by the probability of the candidate's number. What was not in the
    list follows as it was retrieved, without a final score."""
    listed: list[Ranked] = []
    rest: list[Ranked] = []
    for one, score in zip(candidates, chosen, strict=True):
        scores = Scores(retrieval=one.similarity, rerank=score, final=score)
        (rest if score is None else listed).append(Ranked(one.fragment, scores))
    return sorted(listed, key=lambda one: -(one.scores.final or 0.0)) + rest


def reaching(ranked: Sequence[Ranked], dialogues: int) -> int:
    """How many of the best come from so many dialogues; all, where there are fewer."""
    seen: set[str] = set()
    for place, one in enumerate(ranked):
        seen.add(one.fragment.dialogue_id)
        if len(seen) > dialogues:
            return place
    return len(ranked)


# --- refining -----------------------------------------------------------------------------------


def as_dialogue(fragment: FragmentRecord) -> Dialogue:
    """The fragment as a dialogue of its own: numbered from 0, nothing that no model needs."""
    turns = [
        Utterance(id=turn.id, speaker=turn.speaker, content=turn.content)
        for turn in ffrs.localise(fragment.utterances)
    ]
    return Dialogue(utterances=turns)


def whole(ranked: Ranked) -> Kept:
    """The candidate as it is."""
    fragment = ranked.fragment
    return Kept(ranked, tuple(turn.id for turn in fragment.utterances), tuple(fragment.image_ids))


def named(ranked: Ranked, answer: FragmentAnswer) -> Kept:
    """What F2RVLM named in the candidate, in the ids of its dialogue.

    Raises:
        UpstreamFailed: it names what the candidate does not have.
    """
    turns = [turn.id for turn in ranked.fragment.utterances]
    images = ranked.fragment.image_ids
    if not _within(answer.utterance_ids, turns) or not _within(answer.image_ids, images):
        raise UpstreamFailed("the generator named what the fragment does not have")
    return Kept(
        ranked,
        tuple(ffrs.to_global(answer.utterance_ids, turns)),
        tuple(ffrs.images_to_global(answer.image_ids, images)),
    )


def _within(local: Iterable[int], known: Sequence[int]) -> bool:
    return all(0 <= number < len(known) for number in local)


# --- putting together ---------------------------------------------------------------------------


def merged(kept: Sequence[Kept]) -> list[FoundFragment]:
    """One fragment for each dialogue, with the scores of its best candidate, best first.

    `kept` comes best first. A candidate of which nothing is left is dropped.
    """
    of_dialogue: dict[str, list[Kept]] = {}
    for one in kept:
        if not one.empty:
            of_dialogue.setdefault(one.ranked.fragment.dialogue_id, []).append(one)
    found = ffrs.merge(
        ffrs.Found(
            one.ranked.fragment.dialogue_id,
            one.ranked.fragment.number,
            one.utterance_ids,
            one.image_ids,
        )
        for same in of_dialogue.values()
        for one in same
    )
    return [_found(one, of_dialogue[one.dialogue_id]) for one in found]


def apart(kept: Sequence[Kept]) -> list[FoundFragment]:
    """Every candidate by itself, best first; one of which nothing is left is dropped."""
    return [fragment for one in kept for fragment in merged([one])]


def _found(answer: ffrs.Merged, same: Sequence[Kept]) -> FoundFragment:
    records = [one.ranked.fragment for one in same]
    turns = {turn.id: turn for record in records for turn in record.utterances}
    owners = {
        image: owner
        for record in records
        for image, owner in zip(
            record.image_ids, ffrs.picture_owners(record.utterances), strict=False
        )
    }
    shown = {*answer.utterance_ids, *(owners[i] for i in answer.image_ids if i in owners)}
    return FoundFragment(
        dialogue_id=answer.dialogue_id,
        utterance_ids=sorted(answer.utterance_ids),
        image_ids=sorted(answer.image_ids),
        utterances=[turns[i] for i in sorted(shown)],
        scores=same[0].ranked.scores,
    )
