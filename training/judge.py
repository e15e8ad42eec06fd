"""A base with a LoRA adapter that answers LamRA-Rank's questions."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2VLForConditionalGeneration

from colloquy.protocols import lamra as protocol
from colloquy.protocols.lamra import Content
from training.data import lamra
from training.data.encode import IGNORED, Encoder
from training.data.prompts import Example
from training.embed import picture_embeddings
from training.forest import Forest, gather, grow
from training.vision import GRID, MERGE


class Judge(nn.Module):
    """The model, and what writes its prompts."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        tokenizer = processor.tokenizer
        self.model = model
        self.encoder = Encoder(tokenizer, GRID // MERGE)
        self._pad_id = int(tokenizer.pad_token_id)
        self.yes, self.no = (int(tokenizer(word)["input_ids"][0]) for word in ("Yes", "No"))

    @property
    def base(self) -> Qwen2VLForConditionalGeneration:
        return self.model.get_base_model()  # type: ignore[no-any-return]

    def forest(self, groups: Sequence[Sequence[Example]]) -> Forest:
        """Prompts with answers; those of a group begin alike."""
        grown = [
            grow([self.encoder.encode(example) for example in group], self.encoder.image_id)
            for group in groups
        ]
        return gather(grown, self._pad_id)

    def states(self, forest: Forest) -> Iterator[Tensor]:
        """(rows, tokens, width): the state of each token after each layer, from the lowest."""
        language = self.base.model.language_model
        hidden = picture_embeddings(self.base, forest.ids, forest.pictures, self.encoder.image_id)
        rotary = language.rotary_emb(hidden, forest.positions)
        for layer in language.layers:
            hidden = layer(hidden, attention_mask=forest.seen, position_embeddings=rotary)
            yield hidden

    def forward(self, groups: Sequence[Sequence[Example]]) -> tuple[Tensor, Tensor]:
        """Reads the answers' tokens.

        Returns:
            Logits (points, vocabulary) and targets (points,), row by row.
        """
        forest = self.forest(groups)
        *_, hidden = self.states(forest)
        kept = forest.targets != IGNORED
        return self.words(hidden[kept]), forest.targets[kept]

    def p_yes(self, query: Content, candidates: Sequence[Content]) -> Tensor:
        """(candidates,): how likely each meets the query."""
        group = [lamra.pointwise(query, candidate, protocol.YES) for candidate in candidates]
        logits, targets = self([group])
        first = logits[targets == self.yes].float()
        return torch.softmax(first[:, [self.yes, self.no]], dim=-1)[:, 0]

    def words(self, hidden: Tensor) -> Tensor:
        """The logits of the next tokens, from states after the highest layer."""
        base = self.base
        logits: Tensor = base.lm_head(base.model.language_model.norm(hidden))
        return logits
