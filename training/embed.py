"""Teaches a LoRA adapter to embed: LamRA-Ret in small.

The last token of a prompt is the embedding. As published in two stages: first texts alone, pairs
that say one thing in two ways, then queries under their instruction with fragments and pictures.
InfoNCE from queries to candidates, negatives from the batch.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import loop, whole
from training.adapters import TARGETS
from training.data import lamra, pairs
from training.data.encode import Encoded, Encoder
from training.data.pairs import Pair
from training.data.prompts import Example
from training.data.world import asking
from training.data.world.facets import Told
from training.data.world.lexicon import LANGUAGES
from training.origin import Origin
from training.recipe import RUNS, EmbedRecipe
from training.vision import GRID, MERGE, patchify, picture_tokens

PICTURE_QUERIES = 0.12  # share of the queries that show a picture, where the fragment has one
ROWS = 24  # prompts of like length that go through the model together


class Reader(nn.Module):
    """A base with a LoRA adapter, read at the last token of each prompt."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self._encoder = Encoder(processor.tokenizer, GRID // MERGE)
        self._pad_id = int(processor.tokenizer.pad_token_id)

    @property
    def base(self) -> Qwen2VLForConditionalGeneration:
        """The model whose linear layers hold the adapter."""
        return self.model.get_base_model()  # type: ignore[no-any-return]

    def forward(self, examples: Sequence[Example]) -> Tensor:
        """(prompts, width): the state of each prompt's last token, after the final norm."""
        rows = [self._encoder.encode(example) for example in examples]
        order = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
        states = [
            self._states([rows[number] for number in order[start : start + ROWS]])
            for start in range(0, len(order), ROWS)
        ]
        places = torch.empty(len(order), dtype=torch.long)
        places[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(states)[places]

    def embed(self, examples: Sequence[Example]) -> Tensor:
        """(prompts, width), of length 1."""
        return nn.functional.normalize(self(examples).float(), dim=-1)

    def _states(self, rows: Sequence[Encoded]) -> Tensor:
        # The prompt ends where the answer begins.
        lengths = torch.tensor([int(row.answer.argmax()) for row in rows])
        longest = int(lengths.max())
        ids = torch.full((len(rows), longest), self._pad_id)
        positions = torch.zeros((3, len(rows), longest), dtype=torch.long)
        for number, (row, length) in enumerate(zip(rows, lengths.tolist(), strict=True)):
            ids[number, :length] = torch.from_numpy(row.ids[:length])
            positions[:, number, :length] = torch.from_numpy(row.positions[:, :length])
        specs = [spec for row in rows for spec in row.pictures]
        hidden = hidden_states(self.base, ids, positions, specs, self._encoder.image_id)
        return hidden[torch.arange(len(rows)), lengths - 1]


def hidden_states(
    base: Any,
    ids: Tensor,
    positions: Tensor,
    pictures: list[Any],
    image_id: int,
    seen: Tensor | None = None,
) -> Tensor:
    """(rows, tokens, width), after the final norm; rows are padded on the right.

    Args:
        ids: (rows, tokens). positions: (3, rows, tokens), M-RoPE's.
        seen: (rows, 1, tokens, tokens) of bool, which token attends to which; None is causal.
    """
    inner = base.model
    embedded = picture_embeddings(base, ids, pictures, image_id)
    # A mapping is taken as the finished mask of each kind of layer.
    mask = None if seen is None else {"full_attention": seen}
    out = inner.language_model(
        inputs_embeds=embedded, attention_mask=mask, position_ids=positions, use_cache=False
    )
    return out.last_hidden_state  # type: ignore[no-any-return]


def picture_embeddings(base: Any, ids: Tensor, pictures: list[Any], image_id: int) -> Tensor:
    """(rows, tokens, width): tokens' embeddings, pictures where they stand."""
    inner = base.model
    embedded = inner.language_model.embed_tokens(ids)
    if pictures:
        with torch.no_grad():
            patches = patchify(pictures).to(inner.visual.dtype)
            features = picture_tokens(inner.visual, patches)
        places = (ids == image_id)[..., None]
        embedded = embedded.masked_scatter(places, features.to(embedded.dtype))
    return embedded  # type: ignore[no-any-return]


def fresh_reader(base: str, rank: int, alpha: int) -> Reader:
    """The base of a run in float32, with an adapter that changes nothing yet."""
    folder = RUNS / base / "model"
    processor = AutoProcessor.from_pretrained(folder)
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS, task_type="CAUSAL_LM")
    return Reader(get_peft_model(model, config), processor)


def train(recipe: EmbedRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    reader = fresh_reader(recipe.base, recipe.rank, recipe.alpha)

    def step_of(step: int) -> loop.StepResult:
        rng = random.Random(f"embed/{recipe.seed}/{step}")
        if step < recipe.text_steps:
            batch = [said_twice(rng) for _ in range(recipe.batch_pairs)]
        else:
            batch = pairs.batch(rng, recipe.batch_pairs, pictures=PICTURE_QUERIES)
        with torch.autocast("cpu", torch.bfloat16):
            queries = reader([lamra.embedding(lamra.query_content(pair.query)) for pair in batch])
            told = reader([lamra.embedding(lamra.fragment_content(pair.turns)) for pair in batch])
        asked = nn.functional.normalize(queries.float(), dim=-1)
        candidates = nn.functional.normalize(told.float(), dim=-1)
        loss = pairs.contrast(asked, candidates, pairs.clashes(batch), recipe.temperature)
        right = (asked @ candidates.T).argmax(-1) == torch.arange(len(batch))
        return loop.StepResult(loss, len(batch), {"right": right.float().mean().item()})

    def evaluate() -> dict[str, float]:
        # Imported here: the evaluator reads adapters with this module.
        from training.evaluate import retrieval_offline as retrieval

        reader.eval()
        with torch.autocast("cpu", torch.bfloat16):
            scores = retrieval.recalls_of(reader, "validation")
        reader.train()
        return scores

    loop.run(
        folder, reader, recipe.optimiser, step_of, origin=Origin.of(recipe), evaluate=evaluate,
        evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    return whole.write_folder(folder / "model", reader.model.save_pretrained)


def said_twice(rng: random.Random) -> Pair:
    """Two texts about one thing: a query, and either lines of a dialogue or another query."""
    while True:
        pair = pairs.batch(rng, 1)[0]
        asked = pair.query.facets
        if "colour" in asked or pair.told.seen & asked.keys():
            continue  # a text alone does not tell it
        turns = tuple(turn for turn in pair.turns if turn.text and not turn.picture)
        if rng.random() < 0.5:
            return Pair(pair.query, turns, pair.told, pair.language)
        own = pair.language
        language = own if "person" in asked else rng.choice(LANGUAGES)
        again, _ = asking.ask(asked, language, rng, "train")
        line = type(turns[0])("user1", again)
        return Pair(pair.query, (line,), Told(asked, frozenset()), language)
