"""A bare batched loop over open_clip, in a process of its own, over lines of JSON.

    python -m benchmarks.clip_worker --weights FOLDER --threads 1 --batch 32

In:  {"texts": ["…"]} or {"pngs": ["base64"]}
Out: {"seconds": 1.2, "first": [0.1, …]}  # the first vector, to compare
"""

import argparse
import base64
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image


class Loop:
    """The reference: decode and tokenise, preprocess, one forward pass a batch."""

    def __init__(self, weights: Path, batch: int, dtype: str) -> None:
        self._model, _, self._preprocess = open_clip.create_model_and_transforms(
            f"local-dir:{weights}", precision={"float32": "fp32", "bfloat16": "pure_bf16"}[dtype]
        )
        self._model.eval()
        self._dtype = getattr(torch, dtype)
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{weights}")
        self._batch = batch

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        found = [
            self._model.encode_text(self._tokenizer(list(part)), normalize=True)
            for part in self._parts(texts)
        ]
        return torch.cat(found)

    @torch.inference_mode()
    def pictures(self, pngs: Sequence[bytes]) -> torch.Tensor:
        found = []
        for part in self._parts(pngs):
            images = [self._preprocess(Image.open(io.BytesIO(png)).convert("RGB")) for png in part]
            stacked = torch.stack(images).to(self._dtype)
            found.append(self._model.encode_image(stacked, normalize=True))
        return torch.cat(found)

    def _parts(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        return [items[at : at + self._batch] for at in range(0, len(items), self._batch)]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    loop = Loop(args.weights, args.batch, args.dtype)
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        if "texts" in asked:
            vectors = loop.texts(asked["texts"])
        else:
            vectors = loop.pictures([base64.b64decode(png) for png in asked["pngs"]])
        seconds = time.perf_counter() - start
        _say({"seconds": seconds, "first": vectors[0].float().tolist()})


def _say(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
