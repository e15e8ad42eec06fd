"""Transformers as the reference: the same weights, the same prompt, no server."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

Content = list[str | Image.Image]


class Reference:
    """A base, with or without an adapter, in bfloat16 if nothing else is said."""

    def __init__(self, base: Path, adapter: Path | None = None, *, dtype: str = "bfloat16") -> None:
        precision = getattr(torch, dtype)
        self.processor = AutoProcessor.from_pretrained(base)
        model: Any = Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=precision)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False)
            model = model.to(precision)
        self.model = model.eval()

    def greedy(self, system: str, content: Content, max_tokens: int) -> tuple[str, float]:
        """The greedy text, and by how much its least certain token beat the next (in logits)."""
        inputs = self._inputs(system, content)
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                max_new_tokens=max_tokens,
                do_sample=False,
                return_dict_in_generate=True,
                output_logits=True,
            )
        written = output.sequences[0, inputs["input_ids"].shape[1] :]
        best = torch.stack(output.logits)[:, 0].float().topk(2).values  # (tokens, 2)
        text = str(self.processor.decode(written, skip_special_tokens=True))
        return text, float((best[:, 0] - best[:, 1]).min())

    def first_token(
        self, system: str, content: Content, token_ids: list[int], *, begun: str = ""
    ) -> list[float]:
        """P(token | it is one of `token_ids`) of the answer's first token, or after `begun`."""
        inputs = self._inputs(system, content, begun)
        with torch.inference_mode():
            logits = self.model(**inputs).logits[0, -1, token_ids].float()
        return [float(p) for p in torch.softmax(logits, dim=-1)]

    def last_state(
        self, system: str, content: Content, *, plain_positions: bool = False
    ) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """The last token's state behind the last norm: (width,).

        Args:
            plain_positions: count tokens, as if pictures had no rows and columns.
        """
        inputs = self._inputs(system, content)
        if plain_positions:
            length = inputs["input_ids"].shape[1]
            inputs["position_ids"] = torch.arange(length).expand(3, 1, length)
        with torch.inference_mode():
            states = self.model(**inputs, output_hidden_states=True).hidden_states
        return states[-1][0, -1].float().numpy()

    def count(self, system: str, content: Content, *, begun: str = "") -> int:
        return int(self._inputs(system, content, begun)["input_ids"].shape[1])

    def _inputs(self, system: str, content: Content, begun: str = "") -> Any:
        parts = [
            {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image"}
            for piece in content
        ]
        messages = [{"role": "system", "content": system}, {"role": "user", "content": parts}]
        text = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        images = [piece for piece in content if isinstance(piece, Image.Image)]
        return self.processor(text=[text + begun], images=images or None, return_tensors="pt")
