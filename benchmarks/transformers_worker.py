"""Answers through transformers, in a process of its own, over lines of JSON.

    python -m benchmarks.transformers_worker --base FOLDER [--adapter FOLDER] [--unmerged]

In:  {"batched": true, "prompts": [{"system": "…", "parts": [{"text": "…"}, {"png": "base64"}]}]}
Out: {"seconds": 1.2, "texts": ["…"], "new_tokens": 210}

With `"labels": ["Yes", "No"]` it writes one token, and answers with the first label's share of the
labels' probability: {"seconds": 0.2, "scores": [0.93]}
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

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration


class Model:
    """A model in bfloat16, greedy, without a grammar: the way upstream's inference runs.

    Args:
        merged: the adapter's product is added to the weights (in float32) before they are rounded
            to bfloat16, which is the faster way for transformers.
    """

    def __init__(self, base: Path, adapter: Path | None, *, merged: bool, max_tokens: int) -> None:
        self._processor: Any = AutoProcessor.from_pretrained(base)  # type: ignore[no-untyped-call]
        self._model: Any = Qwen2VLForConditionalGeneration.from_pretrained(
            base, dtype=torch.float32
        )
        if adapter is not None:
            from peft import PeftModel

            self._model = PeftModel.from_pretrained(self._model, adapter)
            if merged:
                self._model = self._model.merge_and_unload()
        self._model = self._model.to(torch.bfloat16).eval()
        self._max_tokens = max_tokens

    @torch.inference_mode()
    def answer(self, prompts: Sequence[dict[str, Any]]) -> tuple[list[str], int]:
        """Answers prompts as one batch; also counts the tokens written."""
        inputs = self._inputs(prompts)
        out = self._model.generate(**inputs, max_new_tokens=self._max_tokens, do_sample=False)
        new = out[:, inputs["input_ids"].shape[1] :]
        pad = self._processor.tokenizer.pad_token_id
        written = self._processor.batch_decode(new, skip_special_tokens=True)
        return written, int((new != pad).sum())

    @torch.inference_mode()
    def score(self, prompts: Sequence[dict[str, Any]], labels: Sequence[str]) -> list[float]:
        """The first label's share of the labels' probability, as LamRA's inference takes it."""
        tokenize = self._processor.tokenizer
        ids = [tokenize(label, add_special_tokens=False)["input_ids"][0] for label in labels]
        out = self._model.generate(
            **self._inputs(prompts),
            max_new_tokens=1,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        logits = out.logits[0][:, ids].float()  # (prompts, labels)
        shares: list[float] = torch.softmax(logits, dim=-1)[:, 0].tolist()
        return shares

    def _inputs(self, prompts: Sequence[dict[str, Any]]) -> Any:
        """One batch, padded on the left."""
        texts, pictures = [], []
        for prompt in prompts:
            texts.append(
                self._processor.apply_chat_template(
                    _messages(prompt), add_generation_prompt=True, tokenize=False
                )
            )
            pictures += [_image(part["png"]) for part in prompt["parts"] if "png" in part]
        return self._processor(
            text=texts,
            images=pictures or None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--unmerged", action="store_true", help="keep the adapter beside")
    parser.add_argument("--max-tokens", type=int, default=512)
    args = parser.parse_args()
    model = Model(args.base, args.adapter, merged=not args.unmerged, max_tokens=args.max_tokens)
    _say({"ready": True, "threads": torch.get_num_threads()})
    for line in sys.stdin:
        asked = json.loads(line)
        prompts = asked["prompts"]
        batches = [prompts] if asked["batched"] else [[prompt] for prompt in prompts]
        start = time.perf_counter()
        if "labels" in asked:
            scores = [share for batch in batches for share in model.score(batch, asked["labels"])]
            _say({"seconds": time.perf_counter() - start, "scores": scores})
            continue
        answers = [model.answer(batch) for batch in batches]
        seconds = time.perf_counter() - start
        texts = [text for batch, _ in answers for text in batch]
        tokens = sum(count for _, count in answers)
        _say({"seconds": seconds, "texts": texts, "new_tokens": tokens})


def _messages(prompt: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": part["text"]} if "text" in part else {"type": "image"}
        for part in prompt["parts"]
    ]
    return [
        {"role": "system", "content": [{"type": "text", "text": prompt["system"]}]},
        {"role": "user", "content": parts},
    ]


def _image(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def _say(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
