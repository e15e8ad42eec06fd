"""Prompts of one beginning share it, and every picture stays with its own tokens."""

import pytest
from transformers import AutoProcessor

from tests import starter
from training.data import lamra
from training.data.encode import Encoder
from training.data.world.dialogues import Turn
from training.data.world.pictures import PictureSpec
from training.forest import gather, grow
from training.vision import GRID, MERGE

BASE = starter.folder_of("base")
CAT, DOG = PictureSpec("cat", "blue", 1), PictureSpec("kite", "red", 2)
PER_PICTURE = (GRID // MERGE) ** 2


def _turns(*said: str | PictureSpec) -> tuple[Turn, ...]:
    return tuple(
        Turn("ann", "", one) if isinstance(one, PictureSpec) else Turn("ann", one) for one in said
    )


@pytest.mark.parametrize(
    ("candidates", "shown"),
    [
        ([_turns("hello", CAT), _turns("well", CAT)], [CAT, CAT]),
        ([_turns(CAT, "hello"), _turns(DOG, "well")], [CAT, DOG]),
        ([_turns(CAT, "hello"), _turns(CAT, "well")], [CAT]),
        ([_turns(CAT, CAT), _turns(CAT, DOG)], [CAT, CAT, DOG]),
        ([_turns(CAT, "hello")], [CAT]),
    ],
)  # fmt: skip
def test_pictures_stay_with_their_tokens(
    candidates: list[tuple[Turn, ...]], shown: list[PictureSpec]
) -> None:
    tokenizer = AutoProcessor.from_pretrained(BASE).tokenizer
    encoder = Encoder(tokenizer, GRID // MERGE)
    rows = [
        encoder.encode(lamra.pointwise(["The kite."], lamra.fragment_content(turns), "No"))
        for turns in candidates
    ]
    joined, branches = grow(rows, encoder.image_id)
    forest = gather([(joined, branches)], int(tokenizer.pad_token_id))
    assert list(joined.pictures) == shown
    assert int((forest.ids == encoder.image_id).sum()) == len(shown) * PER_PICTURE
    for number, row in enumerate(rows, 1):
        seen = [
            token
            for token, branch in zip(joined.ids, branches, strict=True)
            if branch in (0, number)
        ]
        assert seen == row.ids.tolist()
