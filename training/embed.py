"""Teaches a LoRA adapter to embed: LamRA-Ret in small.

The last token of a prompt is the embedding. As published in two stages: first texts alone, pairs
that say one thing in two ways, then queries under their instruction with fragments and pictures.
InfoNCE from queries to candidates, negatives from the batch, whose fragments are alike, over thin
prompts.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

from training import loop, precision, processes, reading, watching, whole
from training.adapters import lora
from training.data import pairs, roughened
from training.data.encode import IGNORED, Encoded, Encoder
from training.data.lamra_rows import LamraRows
from training.data.pairs import Pair
from training.data.prompts import Example
from training.data.world import asking
from training.data.world.facets import Told
from training.data.world.lexicon import LANGUAGES
from training.layers import Layers, levelled
from training.matching import MATCHES, UPPER
from training.origin import Origin
from training.reading import RARE, SHARP
from training.recipe import RUNS, EmbedRecipe
from training.thinning import Thin, thin
from training.values import Values
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


class Summariser(nn.Module):
    """The taught layers over thin prompts, and a head that is thrown away.

    The head names what a query asks and what a fragment tells from the embedding alone: contrast
    teaches what tells the prompts of a batch apart, which is less.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration, values: Values) -> None:
        super().__init__()
        self._layers = Layers(model, 0)
        self.stack = self._layers.language.layers[MATCHES:]
        self.naming = nn.Linear(model.config.text_config.hidden_size, len(values.all))
        nn.init.normal_(self.naming.weight, std=0.02)
        nn.init.constant_(self.naming.bias, RARE / SHARP)

    def forward(self, batch: Thin) -> Tensor:
        """(rows, width): the state of each prompt's last token, after the final norm."""
        count = len(self._layers.language.layers)
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        *_, hidden = self._layers.run(
            batch.hidden.float(), batch.positions, MATCHES, count, batch.mask(dtype)
        )
        # The one token that is taught anything is the last, before the end of an empty answer.
        last: Tensor = self._layers.language.norm(hidden[batch.targets != IGNORED])
        return last.float()

    def named(self, states: Tensor) -> Tensor:
        return self.naming(levelled(states)).float() * SHARP


@dataclass(frozen=True, slots=True)
class ThinPairs:
    """Pairs of a step, read.

    Attributes:
        clash: (pairs, pairs) of bool, as `pairs.clashes`.
        asked, told: (pairs, values) of 0 and 1.
    """

    queries: Thin
    fragments: Thin
    clash: Tensor
    asked: Tensor
    told: Tensor


def train(recipe: EmbedRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    processes.together(_train, recipe, recipe.processes)
    return RUNS / recipe.name / "model"


def _train(recipe: EmbedRecipe) -> None:
    # Imported here: the evaluator reads adapters with this module.
    from training.evaluate import retrieval_offline as retrieval

    folder = RUNS / recipe.name
    torch.manual_seed(recipe.seed)
    below, _, model, pad_id = reading.load(recipe.base, recipe.tokenizer)
    processor = AutoProcessor.from_pretrained(RUNS / recipe.tokenizer / "model")
    rows = LamraRows(Encoder(processor.tokenizer, GRID // MERGE), processor.tokenizer)
    rng = random.Random(f"embed/{recipe.seed}/{processes.rank()}")
    texts = min(recipe.text_batches, recipe.bank_batches - 1)
    drawn = _drawn(recipe, rng, texts)
    batches = (
        _thin_pairs(below, rows, batch, pad_id, rng) for batch in islice(drawn, recipe.bank_batches)
    )
    bank = list(watching.prepared(batches, recipe.bank_batches))
    reader = Reader(get_peft_model(model, lora(recipe.rank, recipe.alpha, UPPER)), processor)
    learner = Summariser(model, below.values)

    def step_of(step: int) -> loop.StepResult:
        first = 0 if step < recipe.text_steps else texts
        order = list(range(first, texts if step < recipe.text_steps else len(bank)))
        turn, place = divmod(step, len(order))
        random.Random(f"embed/{recipe.seed}/order/{turn}").shuffle(order)
        return _contrast(learner, bank[order[place]], recipe)

    def evaluate() -> dict[str, float]:
        with precision.autocast():
            return retrieval.recalls_of(reader, "validation")

    loop.run(
        folder, learner, recipe.optimiser, step_of, origin=Origin.of(recipe), evaluate=evaluate,
        evaluate_steps=recipe.evaluate_steps,
    )  # fmt: skip
    if processes.rank() == 0:
        whole.write_folder(folder / "model", reader.model.save_pretrained)


def _drawn(recipe: EmbedRecipe, rng: random.Random, texts: int) -> Iterator[list[Pair]]:
    """Batches without end, in two stages as published: texts alone, then queries with fragments
    and pictures, among fragments that are alike."""
    for _ in range(texts):
        yield [said_twice(rng) for _ in range(recipe.batch_pairs)]
    while True:
        count = recipe.batch_pairs * recipe.pool_batches
        pool = pairs.batch(rng, count, pictures=PICTURE_QUERIES)
        yield from pairs.alike(pool, recipe.batch_pairs, rng)


def _thin_pairs(
    below: reading.Reader, rows: LamraRows, drawn: list[Pair], pad_id: int, rng: random.Random
) -> ThinPairs:
    rough = [_roughened(pair, rng) for pair in drawn]
    values = below.values
    return ThinPairs(
        queries=thin(below, [rows.query(pair.query) for pair in rough], pad_id, rng),
        fragments=thin(below, [rows.fragment(pair) for pair in rough], pad_id, rng),
        clash=pairs.clashes(drawn),
        asked=torch.stack([values.told([pair.query.facets]) for pair in drawn]),
        told=torch.stack([values.told([pair.told.facets, pair.told.beside]) for pair in drawn]),
    )


def _roughened(pair: Pair, rng: random.Random) -> Pair:
    """With words that mean nothing, as all that is read below."""
    text = roughened.text_of(pair.query.text, pair.language, rng, roughened.QUERIES)
    turns = tuple(
        replace(turn, text=roughened.text_of(turn.text, pair.language, rng, roughened.LINES))
        for turn in pair.turns
    )
    return replace(pair, query=replace(pair.query, text=text), turns=turns)


def _contrast(learner: Summariser, batch: ThinPairs, recipe: EmbedRecipe) -> loop.StepResult:
    with precision.autocast():
        queries, fragments = learner(batch.queries), learner(batch.fragments)
        names = learner.named(queries), learner.named(fragments)
    asked, told = (nn.functional.normalize(part, dim=-1) for part in (queries, fragments))
    contrast = pairs.contrast(asked, told, batch.clash, recipe.temperature)
    naming = sum(
        (
            nn.functional.binary_cross_entropy_with_logits(said, truth, reduction="sum")
            / len(truth)
            for said, truth in zip(names, (batch.asked, batch.told), strict=True)
        ),
        torch.zeros(()),
    )
    right = (asked @ told.T).argmax(-1) == torch.arange(len(asked))
    shown = {
        "contrast": contrast.item(), "naming": naming.item(), "right": right.float().mean().item(),
    }  # fmt: skip
    return loop.StepResult(contrast + recipe.help_weight * naming, len(asked), shown)


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
