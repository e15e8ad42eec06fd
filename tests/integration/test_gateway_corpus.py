"""Search in a collection at a real gateway: the order of the steps, scores, degradation."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.contracts.generation import FragmentAnswer, Usage
from colloquy.servicekit.problems import NotFound, Overloaded, ServiceError, UpstreamFailed
from tests.doubles.front_stack import Front, running_front
from tests.doubles.gateway import data_url, png, running_gateway

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture
def front(shared: Front) -> Front:
    """A gateway over doubles as new; it serves others too, so nobody makes keys or it wait."""
    shared.reset()
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Front]:
    """A gateway that has measured nothing and has no keys."""
    with running_front(tmp_path) as front:
        yield front


def turn(number: int, *content: str, **more: Any) -> Utterance:
    """A turn; what begins with `blob:` is a picture."""
    parts = [ImagePart.of(one) if one[:5] == "blob:" else TextPart(text=one) for one in content]
    return Utterance(id=number, speaker="Ana", content=parts, **more)


def ids(reply: Any) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [fragment["dialogue_id"] for fragment in reply.json()["fragments"]]


def keep_three(front: Front) -> None:
    front.retriever.keep("bakery", [turn(7, "a cake"), turn(8, "for grandma")])
    front.retriever.keep("train", [turn(0, "cake on the train"), turn(1, "at nine for grandma")])
    front.retriever.keep("kite", [turn(3, "a kite for grandma")])


# --- the steps ----------------------------------------------------------------------------------


def test_local_numbers_of_the_model_become_the_dialogues_own(front: Front) -> None:
    front.retriever.keep(
        "d-1",
        [turn(40, "hello"), turn(41, "a cake", "blob:a"), turn(45, "bye", "blob:b")],
        image_ids=[6, 9],
    )

    (fragment,) = front.find("cake").json()["fragments"]

    assert fragment["utterance_ids"] == [41]
    assert fragment["image_ids"] == [6]
    (task,) = front.generator.asked
    assert [turn.id for turn in task.dialogue.utterances] == [0, 1, 2]


def test_a_picture_that_answers_alone_shows_its_turn(front: Front) -> None:
    front.retriever.keep(
        "d-1", [turn(40, "picture 1"), turn(45, "here", "blob:a", "blob:b")], image_ids=[6, 9]
    )

    (fragment,) = front.find("picture 1").json()["fragments"]

    assert (fragment["utterance_ids"], fragment["image_ids"]) == ([], [9])
    assert [shown["id"] for shown in fragment["utterances"]] == [45]


def test_a_candidate_in_which_nothing_answers_is_dropped(front: Front) -> None:
    front.retriever.keep("yes", [turn(0, "grandma cake")])
    front.retriever.keep("no", [turn(0, "cake, grandma")])

    assert ids(front.find("grandma cake", rerank="none")) == ["yes"]


def test_what_is_found_in_one_dialogue_comes_together_ascending(front: Front) -> None:
    front.retriever.keep("d-1", [turn(9, "cake with grandma")], number=2)
    front.retriever.keep("d-2", [turn(0, "cake")], number=0)
    front.retriever.keep("d-1", [turn(2, "cake", "blob:a")], number=0, image_ids=[0])

    answer = front.find("cake", rerank="none").json()

    assert [one["dialogue_id"] for one in answer["fragments"]] == ["d-1", "d-2"]
    merged = answer["fragments"][0]
    assert merged["utterance_ids"] == [2, 9]
    assert merged["image_ids"] == [0]
    assert [shown["id"] for shown in merged["utterances"]] == [2, 9]
    assert merged["scores"]["final"] == pytest.approx(1 / 61)


def test_without_merging_every_candidate_stands_by_itself(front: Front) -> None:
    front.retriever.keep("d-1", [turn(9, "cake with grandma")], number=2)
    front.retriever.keep("d-1", [turn(2, "cake")], number=0)

    answer = front.find("cake", rerank="none", merge=False).json()

    assert [one["utterance_ids"] for one in answer["fragments"]] == [[9], [2]]


def test_hits_carry_the_callers_refs_and_times(front: Front) -> None:
    front.retriever.keep("d-1", [turn(4, "cake", ref="msg_9", time="2026-03-01T10:00:00Z")])

    (fragment,) = front.find("cake").json()["fragments"]

    (shown,) = fragment["utterances"]
    assert (shown["ref"], shown["time"]) == ("msg_9", "2026-03-01T10:00:00Z")
    (task,) = front.generator.asked
    assert task.dialogue.utterances[0].ref is None


def test_not_refined_candidates_come_whole_and_never_more_than_top_k(front: Front) -> None:
    keep_three(front)

    answer = front.find("cake for grandma", rerank="none", refine=False, top_k=2).json()

    assert [one["utterance_ids"] for one in answer["fragments"]] == [[7, 8], [0, 1]]
    assert front.generator.asked == []
    assert answer["degraded"] == []


def test_only_the_best_are_refined(front: Front) -> None:
    for number in range(30):
        front.retriever.keep(f"d-{number}", [turn(0, "cake")])

    found = ids(front.find("cake", candidates=30, top_k=3))

    assert len(found) == 3
    assert len(front.generator.asked) == 6
    assert len(front.reranker.asked[0].candidates) == 30


@pytest.mark.parametrize("refine", [True, False])
def test_merging_leaves_as_many_dialogues_as_were_asked_for(front: Front, refine: bool) -> None:
    for number in range(12):
        front.retriever.keep("long", [turn(number, "cake")], number=number)
    for number in range(5):
        front.retriever.keep(f"d-{number}", [turn(0, "cake")])

    answer = front.find("cake", rerank="none", refine=refine, top_k=3)

    assert ids(answer) == ["long", "d-0", "d-1"]
    assert answer.json()["fragments"][0]["utterance_ids"] == list(range(12))
    assert answer.json()["degraded"] == []
    assert len(front.generator.asked) == (16 if refine else 0)


def test_no_more_is_read_for_merging_than_the_profile_allows(front: Front) -> None:
    for number in range(30):
        front.retriever.keep("long", [turn(number, "cake")], number=number)
    front.retriever.keep("d-1", [turn(0, "cake")])

    assert ids(front.find("cake", rerank="none", candidates=40, top_k=3)) == ["long"]
    assert len(front.generator.asked) == 20


def test_what_is_dropped_is_not_made_up_for(front: Front) -> None:
    for number in range(15):
        front.retriever.keep(f"d-{number}", [turn(0, "cake, grandma")])

    assert ids(front.find("grandma cake", rerank="none", top_k=3)) == []
    assert len(front.generator.asked) == 6


def test_the_number_of_candidates_is_the_callers_or_the_profiles(front: Front) -> None:
    front.retriever.keep("d-1", [turn(0, "cake")])

    for more in ({}, {"candidates": 3}, {"top_k": 50}, {"top_k": 50, "merge": False}):
        front.find("cake", **more)

    assert [question.limit for question in front.retriever.asked] == [20, 3, 100, 50]


def test_filters_labels_and_methods_travel_to_retrieval(front: Front) -> None:
    front.retriever.keep("d-1", [turn(0, "cake")])
    wanted = {"speaker": ["Ana"], "metadata": {"shop": ["kites"]}, "after": "2026-01-01T00:00:00Z"}

    front.find("cake", filter=wanted, methods=["bm25"], **{"as": ["team-a"]})

    (question,) = front.retriever.asked
    assert question.selection.filter is not None
    assert question.selection.filter.speaker == ["Ana"]
    assert question.selection.filter.metadata == {"shop": ["kites"]}
    assert question.selection.as_ == ["team-a"]
    assert question.methods == ["bm25"]


def test_a_picture_alone_finds_but_cannot_be_refined_and_says_so(front: Front) -> None:
    photo = data_url(png())
    upload = front.http.post(
        "/v1/images",
        json={"image": {"url": photo}},
        headers={"authorization": "Bearer page-token-of-the-tests"},
    )
    ref = upload.json()["ref"]
    front.retriever.keep("d-1", [turn(0, "look", ref)], image_ids=[0])

    answer = front.find(None, query_image={"url": photo}).json()

    assert [one["dialogue_id"] for one in answer["fragments"]] == ["d-1"]
    assert front.retriever.asked[0].query_image == ref
    assert [part.type for part in front.reranker.asked[0].query] == ["image_url"]
    assert front.generator.asked == []
    assert answer["degraded"] == ["refine"]


def test_a_query_of_both_has_its_picture_first_for_the_reranker(front: Front) -> None:
    front.retriever.keep("d-1", [turn(0, "cake")])

    front.find("cake", query_image={"url": data_url(png())})

    assert [part.type for part in front.reranker.asked[0].query] == ["image_url", "text"]


def test_a_query_picture_that_is_none_is_refused_with_its_place(front: Front) -> None:
    reply = front.find(None, query_image={"url": "data:image/png;base64,AAAA"})

    assert reply.status_code in (415, 422)
    assert reply.json()["faults"][0]["at"] == "body/query_image/url"
    assert front.retriever.asked == []


def test_the_reranker_is_shown_speakers_texts_and_pictures(front: Front) -> None:
    front.retriever.keep("d-1", [turn(0, "cake", "blob:a"), turn(1, "yes")], image_ids=[0])

    front.find("cake")

    ((candidate,),) = [asked.candidates for asked in front.reranker.asked]
    text = " ".join(part.text for part in candidate if isinstance(part, TextPart))
    assert "Ana: cake" in text
    assert "Ana: yes" in text
    assert [p.image_url.url for p in candidate if isinstance(p, ImagePart)] == ["blob:a"]


def test_who_holds_no_label_finds_what_nobody_has_restricted(front: Front) -> None:
    front.retriever.keep("d-1", [turn(0, "cake")])

    front.find("cake", refine=False)

    assert front.retriever.asked[-1].selection.as_ == []


# --- scores -------------------------------------------------------------------------------------


def test_without_reranking_the_fused_rank_is_final(front: Front) -> None:
    keep_three(front)

    answer = front.find("cake grandma", rerank="none", refine=False).json()

    scores = [one["scores"] for one in answer["fragments"]]
    assert [one["final"] for one in scores] == pytest.approx([1 / 61, 1 / 62, 1 / 63])
    assert [one["retrieval"] for one in scores] == [1.0, 1.0, 0.5]
    assert {one["rerank"] for one in scores} == {None}
    assert "rank" not in answer["models"]


def test_pointwise_is_the_default_and_one_voice_beside_the_fused_rank(tmp_path: Path) -> None:
    with running_front(tmp_path, rerank_weight=0.5) as front:
        keep_three(front)
        plain = front.find("cake grandma", rerank="none", refine=False).json()
        answer = front.find("cake grandma", refine=False).json()

    (asked,) = front.reranker.asked
    assert asked.mode == "pointwise"
    fused = {one["dialogue_id"]: one["scores"]["final"] for one in plain["fragments"]}
    for fragment in answer["fragments"]:
        scores = fragment["scores"]
        expected = fused[fragment["dialogue_id"]] + 0.5 * scores["rerank"] / 61
        assert scores["final"] == pytest.approx(expected)


def test_what_one_method_found_has_the_published_score(tmp_path: Path) -> None:
    with running_front(tmp_path, rerank_weight=0.5) as front:
        keep_three(front)
        answer = front.find("cake grandma", refine=False, methods=["clip"]).json()

    assert answer["fragments"]
    for fragment in answer["fragments"]:
        scores = fragment["scores"]
        assert scores["final"] == pytest.approx(scores["retrieval"] + 0.5 * scores["rerank"])


def test_reranking_changes_the_order(front: Front) -> None:
    front.retriever.keep("first", [turn(0, "cake sweet and big")])
    front.retriever.keep("better", [turn(0, "a sweet cake")])

    plain = ids(front.find("sweet cake", rerank="none", refine=False))
    ranked = ids(front.find("sweet cake", refine=False))

    assert plain == ["first", "better"]
    assert ranked == ["better", "first"]


def test_listwise_puts_its_number_first_and_the_unlisted_last_as_retrieved(front: Front) -> None:
    for number in range(12):
        front.retriever.keep(f"d-{number}", [turn(0, "cake")])

    answer = front.find("cake", rerank="listwise", refine=False, top_k=12).json()

    order = [one["dialogue_id"] for one in answer["fragments"]]
    assert order[0] == "d-9"
    assert order[-2:] == ["d-10", "d-11"]
    finals = [one["scores"]["final"] for one in answer["fragments"]]
    assert finals[0] == 0.8
    assert finals[-2:] == [None, None]
    assert answer["degraded"] == []


def test_every_step_names_its_model_and_its_time(front: Front) -> None:
    keep_three(front)

    answer = front.find("cake").json()

    assert answer["models"] == {"clip": "clip@1", "rank": "rank@1", "fragment": "fragment@1"}
    assert set(answer["timings_ms"]) == {"retrieve", "rerank", "refine", "total"}
    assert answer["timings_ms"]["total"] >= answer["timings_ms"]["refine"]


def test_nothing_found_is_an_empty_answer_that_asks_no_model(front: Front) -> None:
    keep_three(front)

    answer = front.find("zebra").json()

    assert answer["fragments"] == []
    assert (front.reranker.asked, front.generator.asked) == ([], [])


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_collection_that_is_not_there_is_missing(front: Front) -> None:
    reply = front.find("cake", collection="nowhere")

    assert reply.status_code == 404
    assert reply.json()["type"] == "urn:colloquy:problem:collection-missing"
    assert reply.json()["detail"] == "body/collection: names no collection of this tenant"


def test_without_a_retriever_there_is_no_collection(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        reply = gateway.http.post(
            "/v1/fragments/search", json={"query": "x", "collection": "family"}
        )

    assert reply.status_code == 404
    assert reply.json()["type"] == "urn:colloquy:problem:collection-missing"


def test_without_a_reranker_nothing_is_ranked_unless_asked_which_is_refused(tmp_path: Path) -> None:
    with running_front(tmp_path, reranker=None) as front:
        front.retriever.keep("d-1", [turn(0, "cake")])
        plain = front.find("cake").json()
        refused = front.find("cake", rerank="pointwise")

    assert plain["fragments"][0]["scores"]["rerank"] is None
    assert plain["degraded"] == []
    assert (refused.status_code, refused.json()["type"]) == (
        422,
        "urn:colloquy:problem:unsupported",
    )


@pytest.mark.parametrize("failure", [Overloaded(), UpstreamFailed(), NotFound("blob")])
def test_a_reranker_that_fails_is_left_out(front: Front, failure: ServiceError) -> None:
    keep_three(front)
    front.reranker.failure = failure

    answer = front.find("cake grandma", refine=False).json()

    assert answer["degraded"] == ["rerank"]
    assert [one["dialogue_id"] for one in answer["fragments"]] == ["bakery", "train", "kite"]
    assert answer["fragments"][0]["scores"]["final"] == pytest.approx(1 / 61)


def test_candidates_without_an_answer_of_the_model_stay_as_they_are(front: Front) -> None:
    keep_three(front)
    front.generator.failure = Overloaded()

    answer = front.find("cake grandma", top_k=2).json()

    assert answer["degraded"] == ["refine"]
    assert [one["utterance_ids"] for one in answer["fragments"]] == [[7, 8], [0, 1]]


def test_a_model_that_names_what_a_candidate_does_not_have_leaves_it_as_it_is(front: Front) -> None:
    front.retriever.keep("d-1", [turn(5, "cake"), turn(6, "more")])
    front.generator.answer = FragmentAnswer(
        utterance_ids=[2], image_ids=[], model="fragment@1", usage=Usage()
    )

    answer = front.find("cake").json()

    assert answer["degraded"] == ["refine"]
    assert answer["fragments"][0]["utterance_ids"] == [5, 6]


def test_candidates_without_a_score_count_as_retrieved(front: Front) -> None:
    keep_three(front)
    front.reranker.unscored = 1

    answer = front.find("grandma", refine=False).json()

    assert answer["degraded"] == ["rerank-partial"]
    last = answer["fragments"][-1]["scores"]
    assert last["rerank"] is None
    assert last["final"] == pytest.approx(1 / 63)


def test_a_way_of_retrieving_that_was_left_out_is_told(front: Front) -> None:
    front.retriever.keep("d-1", [turn(0, "cake")])
    front.retriever.degraded = ["lamra"]

    assert front.find("cake").json()["degraded"] == ["retrieve-lamra"]
    metrics = front.http.get("/metrics").text
    assert 'gateway_degraded_total{what="retrieve-lamra"}' in metrics


def test_what_retrieval_cannot_do_now_is_the_searchs_own_failure(front: Front) -> None:
    front.retriever.failure = Overloaded(retry_after_s=7)

    reply = front.find("cake")

    assert (reply.status_code, reply.headers["retry-after"]) == (503, "7")


# --- the deadline -------------------------------------------------------------------------------


def test_a_reranker_that_is_too_slow_is_cut_off_in_time_for_the_rest(fresh: Front) -> None:
    keep_three(fresh)
    fresh.reranker.delays_s = {"pointwise": 30}
    began_s = time.monotonic()

    answer = fresh.find("cake", timeout_ms=2_000).json()

    assert time.monotonic() - began_s < 4.0
    assert answer["degraded"] == ["rerank"]
    assert answer["fragments"]
    assert "fragment" in answer["models"]


def test_a_model_that_is_too_slow_leaves_the_candidates_as_they_are(fresh: Front) -> None:
    keep_three(fresh)
    fresh.generator.delay_s = 30
    began_s = time.monotonic()

    answer = fresh.find("cake grandma", timeout_ms=800).json()

    assert time.monotonic() - began_s < 2.0
    assert answer["degraded"] == ["refine"]
    assert answer["fragments"][0]["utterance_ids"] == [7, 8]


def test_what_was_slow_lately_is_not_begun_again(fresh: Front) -> None:
    keep_three(fresh)
    fresh.reranker.delays_s = {"listwise": 0.6, "pointwise": 0.05}
    fresh.find("cake", rerank="listwise", refine=False)

    answer = fresh.find("cake", rerank="listwise", refine=False, timeout_ms=400).json()

    assert [asked.mode for asked in fresh.reranker.asked] == ["listwise", "pointwise"]
    assert answer["degraded"] == ["rerank-listwise"]


def test_when_no_ranking_fits_none_is_begun(fresh: Front) -> None:
    keep_three(fresh)
    fresh.reranker.delays_s = {"listwise": 0.5, "pointwise": 0.5}
    fresh.find("cake", rerank="listwise", refine=False)
    fresh.find("cake", rerank="pointwise", refine=False)

    answer = fresh.find("cake", rerank="listwise", refine=False, timeout_ms=300).json()

    assert len(fresh.reranker.asked) == 2
    assert answer["degraded"] == ["rerank"]


def test_refining_that_was_slow_lately_is_left_out_and_ranking_is_not(fresh: Front) -> None:
    keep_three(fresh)
    fresh.generator.delay_s = 0.6
    fresh.find("cake")
    asked = len(fresh.generator.asked)

    answer = fresh.find("cake", timeout_ms=400).json()

    assert len(fresh.generator.asked) == asked
    assert answer["degraded"] == ["refine"]
    assert "rank" in answer["models"]


def test_candidates_are_refined_some_at_a_time(tmp_path: Path) -> None:
    with running_front(tmp_path, refine_at_once=2) as front:
        for number in range(6):
            front.retriever.keep(f"d-{number}", [turn(0, "cake")])
        front.generator.delay_s = 0.1
        began_s = time.monotonic()
        front.find("cake", top_k=3)

    assert time.monotonic() - began_s >= 0.3
    assert front.generator.most_at_once == 2


def test_each_hop_is_given_the_time_that_is_left(fresh: Front) -> None:
    keep_three(fresh)

    fresh.find("cake", timeout_ms=5_000)

    assert all(0 < left <= 5_000 for left in fresh.generator.deadlines_ms)


def test_a_client_that_leaves_ends_the_refining(fresh: Front) -> None:
    keep_three(fresh)
    fresh.generator.delay_s = 30
    body = {"query": "grandma", "collection": "family"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{fresh.url}/v1/fragments/search", json=body, timeout=0.8, trust_env=False)

    give_up_s = time.monotonic() + 5
    while fresh.generator.cancelled < 3 and time.monotonic() < give_up_s:
        time.sleep(0.02)
    assert fresh.generator.cancelled == 3


# --- tenants ------------------------------------------------------------------------------------


def test_equal_fragments_of_two_tenants_are_found_by_their_own_alone(fresh: Front) -> None:
    for tenant in ("one", "other"):
        fresh.retriever.keep("d-1", [turn(0, f"cake of {tenant}")], tenant=tenant)
    one, other = fresh.key("one", "search"), fresh.key("other", "search")

    for tenant, key in (("one", one), ("other", other)):
        (fragment,) = fresh.find("cake", headers=key).json()["fragments"]
        assert fragment["utterances"][0]["content"][0]["text"] == f"cake of {tenant}"
        assert fresh.retriever.asked[-1].tenant == tenant
        assert fresh.reranker.asked[-1].tenant == tenant
        assert fresh.generator.asked[-1].tenant == tenant
        assert fresh.find("cake", headers=fresh.key("third", "search")).status_code == 404


def test_a_foreign_picture_is_no_query(fresh: Front) -> None:
    one, other = fresh.key("one", "search"), fresh.key("other", "search")
    upload = fresh.http.post("/v1/images", json={"image": {"url": data_url(png())}}, headers=one)

    reply = fresh.find(None, query_image={"url": upload.json()["ref"]}, headers=other)

    assert (reply.status_code, reply.json()["type"]) == (404, "urn:colloquy:problem:blob-missing")
