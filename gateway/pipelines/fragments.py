"""Search in a dialogue, and splitting one: the only place that knows the order of the steps."""

from collections.abc import Sequence

from colloquy.contracts.content import Dialogue
from colloquy.contracts.fragments import (
    FoundFragment,
    FragmentSearchRequest,
    FragmentSearchResponse,
    Scores,
    SplitRequest,
    SplitResponse,
    TopicFragment,
)
from colloquy.contracts.generation import FragmentAnswer, FragmentTask, SplitTask
from colloquy.servicekit.context import request_id
from colloquy.servicekit.problems import UpstreamFailed
from gateway.generator import Generator
from gateway.metrics import Metrics
from gateway.pictures import Pictures, as_caller_knows
from gateway.problems import DialogueTooLong, Unsupported
from gateway.timings import Timings

_PLACE = "body/dialogue"


class Fragments:
    def __init__(
        self, generator: Generator, pictures: Pictures, metrics: Metrics, *, max_turns: int
    ) -> None:
        self._generator = generator
        self._pictures = pictures
        self._metrics = metrics
        self._max_turns = max_turns

    async def search(self, tenant: str, request: FragmentSearchRequest) -> FragmentSearchResponse:
        """Finds what answers the query in the request's own dialogue.

        Raises:
            ServiceError: the request asks for what cannot be done, or a step fails.
        """
        timings = Timings(self._metrics)
        dialogue, query = what_to_search(request)
        self._bound(dialogue)
        with timings.step("media"):
            stored = await self._pictures.take_in(tenant, dialogue, _PLACE)
        with timings.step("refine"):
            task = FragmentTask(tenant=tenant, dialogue=stored, query=query)
            answer = await self._generator.fragment(task)
        return FragmentSearchResponse(
            fragments=found_in(dialogue, stored, answer),
            degraded=answer.degraded,
            models={"fragment": answer.model},
            timings_ms=timings.in_ms(),
            request_id=request_id(),
        )

    async def split(self, tenant: str, request: SplitRequest) -> SplitResponse:
        """Cuts a dialogue into its topics.

        Raises:
            ServiceError: a step fails.
        """
        timings = Timings(self._metrics)
        dialogue = request.dialogue
        self._bound(dialogue)
        with timings.step("media"):
            stored = await self._pictures.take_in(tenant, dialogue, _PLACE)
        with timings.step("split"):
            answer = await self._generator.split(SplitTask(tenant=tenant, dialogue=stored))
        return SplitResponse(
            fragments=topics_of(dialogue, answer.fragments),
            degraded=answer.degraded,
            models={"split": answer.model},
            timings_ms=timings.in_ms(),
            request_id=request_id(),
        )

    def _bound(self, dialogue: Dialogue) -> None:
        turns = len(dialogue.utterances)
        if turns > self._max_turns:
            raise DialogueTooLong(
                f"a dialogue may have at most {self._max_turns} turns", max_turns=self._max_turns
            )
        self._metrics.dialogue_turns.observe(turns)
        self._metrics.dialogue_images.observe(len(dialogue.images))


def what_to_search(request: FragmentSearchRequest) -> tuple[Dialogue, str]:
    """The dialogue and the query.

    Raises:
        Unsupported: it asks for what the published model cannot do.
    """
    assert request.dialogue is not None, "a search in a collection is another pipeline's"
    if request.query_image is not None or request.query is None:
        raise Unsupported(
            "inside one dialogue the query must be text: the prompt that F2RVLM was published "
            "with has no place for a picture; describe it in `query` and leave out `query_image`"
        )
    if not request.refine:
        raise Unsupported(
            "`refine: false` belongs to a search in a collection; inside one dialogue refining is "
            "the whole search"
        )
    return request.dialogue, request.query


def found_in(dialogue: Dialogue, stored: Dialogue, answer: FragmentAnswer) -> list[FoundFragment]:
    """The one fragment that the model named; none when nothing answers.

    The model gives a single set of turns and pictures for a dialogue; that they are one fragment
    even where turns lie between them is its meaning, so nothing is cut apart or filled in.

    Raises:
        UpstreamFailed: it names what the dialogue does not have.
    """
    owners = dialogue.image_owners()
    turns, images = sorted(set(answer.utterance_ids)), sorted(set(answer.image_ids))
    if not _within(turns, len(dialogue.utterances)) or not _within(images, len(owners)):
        raise UpstreamFailed("the generator named what the dialogue does not have")
    if not turns and not images:
        return []
    shown = sorted({*turns, *(owners[image] for image in images)})
    utterances = [as_caller_knows(dialogue.utterances[i], stored.utterances[i]) for i in shown]
    fragment = FoundFragment(
        dialogue_id=dialogue.id,
        utterance_ids=turns,
        image_ids=images,
        utterances=utterances,
        scores=Scores(),
    )
    return [fragment]


def topics_of(dialogue: Dialogue, fragments: Sequence[Sequence[int]]) -> list[TopicFragment]:
    """The topics in the dialogue's order, each with its pictures.

    Raises:
        UpstreamFailed: a turn is in no fragment or in two.
    """
    every_turn = list(range(len(dialogue.utterances)))
    if sorted(i for fragment in fragments for i in fragment) != every_turn:
        raise UpstreamFailed("the generator did not give every turn to exactly one fragment")
    owners = dialogue.image_owners()
    topics = sorted(sorted(fragment) for fragment in fragments if fragment)
    return [
        TopicFragment(
            utterance_ids=topic,
            image_ids=[i for i, owner in enumerate(owners) if owner in set(topic)],
        )
        for topic in topics
    ]


def _within(ids: Sequence[int], count: int) -> bool:
    return not ids or (ids[0] >= 0 and ids[-1] < count)
