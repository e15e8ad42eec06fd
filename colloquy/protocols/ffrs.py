"""FFRS: how a corpus of dialogues is searched through its fragments, step by step.

Source: FFRS (arXiv:2606.04591) with its released code, a chain of scripts: a splitter cuts each
dialogue into fragments, retrieval proposes some of them for a query, F2RVLM says of each which of
its lines answer, and what it said is put back into the dialogues. The steps are pure functions
here; `ffrs_records` reads and writes the files that upstream's scripts pass on. Where the released
code goes wrong we do not follow it: `docs/models.md` lists each place.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from colloquy.contracts.content import Utterance
from colloquy.protocols import f2rvlm
from colloquy.protocols.f2rvlm import Answer
from colloquy.protocols.prompt import Prompt

# --- a dialogue becomes fragments ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coverage:
    """How well a predicted split covers its dialogue. Counted, never repaired.

    Attributes:
        missing: utterances that are in no fragment, ascending.
        extra: ids that name no utterance, ascending.
        repeated: ids that were written more than once, ascending.
    """

    missing: tuple[int, ...]
    extra: tuple[int, ...]
    repeated: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """Whether every utterance is in some fragment; a repeat or an invented id is no gap."""
        return not self.missing


def coverage(groups: Sequence[Sequence[int]], utterance_ids: Iterable[int]) -> Coverage:
    """Counts what a predicted split leaves out, invents and repeats."""
    written = Counter(number for group in groups for number in group)
    known = set(utterance_ids)
    return Coverage(
        missing=tuple(sorted(known - written.keys())),
        extra=tuple(sorted(written.keys() - known)),
        repeated=tuple(sorted(number for number, times in written.items() if times > 1)),
    )


def fragment_ids(
    groups: Sequence[Sequence[int]], utterance_ids: Iterable[int]
) -> list[tuple[int, ...]]:
    """The utterances of each predicted fragment: ascending, once each, and only those that exist.

    A fragment keeps its place in the list, which is its number, even when nothing is left of it.
    The same ids render the prompt and translate its answer: line `i` of a prompt is the i-th of
    them, whatever the splitter wrote.
    """
    known = set(utterance_ids)
    return [tuple(sorted(known.intersection(group))) for group in groups]


# --- a candidate becomes a prompt ---------------------------------------------------------------


def localise(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances of a fragment, numbered from 0 as its prompt shows them."""
    return [turn.model_copy(update={"id": place}) for place, turn in enumerate(utterances)]


def candidate_prompt(utterances: Sequence[Utterance], query: str) -> Prompt:
    """F2RVLM's published prompt over one candidate, utterances and pictures numbered from 0."""
    return f2rvlm.render_fragment(localise(utterances), query)


# --- an answer becomes places in the dialogue ---------------------------------------------------


def picture_owners(utterances: Sequence[Utterance]) -> list[int]:
    """The id of the utterance that shows each picture, by the picture's number from 0."""
    return [turn.id for turn in utterances for _ in turn.images]


def with_owners(answer: Answer, owners: Sequence[int]) -> list[int]:
    """What an answer names, as utterances alone.

    The utterances that show the named pictures follow the named utterances, each id once.

    `owners` names the utterance that shows each picture (see `picture_owners`); a picture that is
    not there names nothing.
    """
    shown = to_global(answer.image_ids, owners)
    return list(dict.fromkeys((*answer.utterance_ids, *shown)))


def to_global(local: Sequence[int], fragment_ids: Sequence[int]) -> list[int]:
    """The dialogue's ids of what a candidate's prompt numbered from 0; each once, order kept.

    An id that the prompt did not show drops out alone. It is never taken for an id of the
    dialogue: by its number the two cannot be told apart.
    """
    size = len(fragment_ids)
    return [fragment_ids[number] for number in dict.fromkeys(local) if 0 <= number < size]


def images_to_global(local_images: Sequence[int], image_ids: Sequence[int]) -> list[int]:
    """The dialogue's ids of the pictures that a candidate's prompt numbered from 0."""
    return to_global(local_images, image_ids)


# --- places become one answer per dialogue ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """What one candidate answered, in its dialogue's own ids; nothing where it does not answer.

    Attributes:
        number: of the fragment in its dialogue.
    """

    dialogue_id: str
    number: int
    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.utterance_ids and not self.image_ids


@dataclass(frozen=True, slots=True)
class Merged:
    """One dialogue's answer: its fragments' answers one after another.

    Attributes:
        utterance_ids: in order of the fragments' numbers; within one as it was answered.
        fragments: the numbers of the fragments that answered, ascending.
    """

    dialogue_id: str
    utterance_ids: tuple[int, ...]
    image_ids: tuple[int, ...]
    fragments: tuple[int, ...]


def merge(found: Iterable[Found]) -> list[Merged]:
    """One answer for each dialogue that has any, in order of the dialogues' first candidates.

    `found` comes in order of retrieval. A candidate with an empty answer is dropped, as upstream's
    filter of relevance, yet it counts for its dialogue's place. Ids that two fragments share are
    given once.
    """
    dialogues: dict[str, dict[int, list[Found]]] = {}
    for candidate in found:
        answers = dialogues.setdefault(candidate.dialogue_id, {})
        if not candidate.empty:
            answers.setdefault(candidate.number, []).append(candidate)
    return [_merged(dialogue_id, answers) for dialogue_id, answers in dialogues.items() if answers]


def _merged(dialogue_id: str, answers: dict[int, list[Found]]) -> Merged:
    ordered = [one for number in sorted(answers) for one in answers[number]]
    return Merged(
        dialogue_id,
        tuple(dict.fromkeys(i for one in ordered for i in one.utterance_ids)),
        tuple(dict.fromkeys(i for one in ordered for i in one.image_ids)),
        tuple(sorted(answers)),
    )
