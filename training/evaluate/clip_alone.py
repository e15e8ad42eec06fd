"""CLIP alone on questions about one dialogue: every utterance near enough to the query answers it.

python -m training.evaluate.clip_alone starter/clip/2 --split test
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import open_clip
import torch
from torch import Tensor
from torch.nn.functional import normalize

from training import clip
from training.data.world.facts import Split
from training.data.world.pictures import PictureSpec
from training.evaluate.baselines import tuned_threshold
from training.evaluate.cases import Question, questions
from training.evaluate.comparison import scored
from training.evaluate.lexical import SMOOTHING_TURNS

CHUNK = 240


class Clip:
    """A CLIP model's vectors of unit length.

    Args:
        folder: as open_clip writes it; loaded as serving loads it, through open_clip alone.
    """

    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder}"
        self._model, _, _ = open_clip.create_model_and_transforms(name)
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(name)

    @torch.no_grad()
    def texts(self, every: Sequence[str]) -> Tensor:
        """(texts, dimensions)"""
        return _in_parts(
            every, lambda part: self._model.encode_text(self._tokenizer(part), normalize=True)
        )

    @torch.no_grad()
    def pictures(self, every: Sequence[PictureSpec]) -> Tensor:
        """(pictures, dimensions)"""
        return _in_parts(
            every, lambda part: self._model.encode_image(clip.pixels(part), normalize=True)
        )


def _in_parts(every: Sequence[Any], encode: Callable[[list[Any]], Tensor]) -> Tensor:
    return torch.cat(
        [encode(list(every[start : start + CHUNK])) for start in range(0, len(every), CHUNK)]
    )


class Nearness:
    """Cosines of a query with each utterance of its dialogue, whose vector is the sum of what it
    says and what it shows, as serving joins them."""

    def __init__(self, model: Clip) -> None:
        self._model = model
        self._vectors: dict[str, Tensor] = {}
        self._told: dict[tuple[str, str], tuple[float, ...]] = {}  # tuning asks hundreds of times

    def __call__(self, question: Question) -> tuple[float, ...]:
        asked = question.case.world.id, question.query.text
        if asked not in self._told:
            self._told[asked] = self._cosines(question)
        return self._told[asked]

    def _cosines(self, question: Question) -> tuple[float, ...]:
        world = question.case.world
        if world.id not in self._vectors:
            vectors = self._model.texts([turn.text or "" for turn in world.turns])
            silent = torch.tensor([not turn.text for turn in world.turns])
            vectors = vectors.masked_fill(silent[:, None], 0.0)
            showing = [number for number, turn in enumerate(world.turns) if turn.picture]
            if showing:
                seen = self._model.pictures(world.pictures)
                vectors = vectors.index_add(0, torch.tensor(showing), seen)
            self._vectors[world.id] = normalize(vectors, dim=-1)
        asked = self._model.texts([question.query.text])
        return tuple((self._vectors[world.id] @ asked[0]).tolist())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="training.evaluate.clip_alone", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--split", choices=get_args(Split)[1:], default="test")
    parser.add_argument("--limit", type=int)
    chosen = parser.parse_args(argv)
    near = Nearness(Clip(chosen.model))
    best = tuned_threshold(questions("validation"), SMOOTHING_TURNS, near, "CLIP")
    asked = questions(chosen.split, chosen.limit)
    judged = [question.judge(best.predict(question)) for question in asked]
    print(json.dumps({best.name: {"settings": best.settings, **scored(judged)}}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
