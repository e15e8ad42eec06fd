"""What CLIP alone says of an utterance: what it says and what it shows, as one vector."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.data.world.pictures import PictureSpec
from training.evaluate.cases import questions
from training.evaluate.clip_alone import Clip, Nearness

RIGHT, UP = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


class Stub:
    """All texts point right and all pictures up; an empty text would point up, too."""

    def __init__(self) -> None:
        self.asked = 0

    def texts(self, every: Sequence[str]) -> Tensor:
        self.asked += 1
        return torch.stack([RIGHT if text else UP for text in every])

    def pictures(self, every: Sequence[PictureSpec]) -> Tensor:
        return torch.stack([UP for _ in every])


def test_an_utterance_is_what_it_says_and_what_it_shows() -> None:
    stub = Stub()
    near = Nearness(cast(Clip, cast(Any, stub)))
    question = next(
        q
        for q in questions("validation")
        if any(t.picture and not t.text for t in q.case.world.turns)
        and any(t.picture and t.text for t in q.case.world.turns)
    )

    cosines = near(question)

    for turn, cosine in zip(question.case.world.turns, cosines, strict=True):
        vector = (RIGHT if turn.text else 0 * RIGHT) + (UP if turn.picture else 0 * UP)
        assert cosine == pytest.approx(float(normalize(vector, dim=0)[0]), abs=1e-6)
    asked = stub.asked
    assert near(question) == cosines
    assert stub.asked == asked, "tuning asks for the same question hundreds of times"
