"""A small CLIP, built and taught with open_clip: its model factory and its loss.

open_clip's own trainer reads pictures from files or archives and knows pairs of a picture and a
text alone; here pictures are drawn as they are needed, and a part of the batches pairs two texts,
so that what is said in a dialogue lies near the queries that ask for it.
"""

import json
import logging
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import save_file
from tokenizers import Tokenizer, normalizers
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from training import clip_start, loop, precision, whole
from training.data import pairs
from training.data.pairs import Pair
from training.data.world import lexicon
from training.data.world.lexicon import LANGUAGES
from training.data.world.pictures import SIDE_PIXELS, PictureSpec, draw
from training.origin import Origin
from training.recipe import RUNS, ClipRecipe
from training.vision import MEAN, STD, drawn_spec, training_pairs

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
END, PAD = "<|im_end|>", "<|endoftext|>"
PATCH = 14
GREY_SHARE = 0.35  # of the pictures lose their colour, so that a thing is known by its shape
PLAIN_SHARE = 0.3  # of the other pictures are named without it
DISTINCT_TRIES = 40


class Towers(nn.Module):
    """open_clip's model under the name that its factory gives it, and a throw-away head."""

    def __init__(self, model: Any, base: Any) -> None:
        super().__init__()
        self.model = model
        self.sighted = clip_start.Sighted(model.visual.output_dim, base)

    def pictures(self, pixels: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, dimensions), of length 1."""
        return self.model.encode_image(pixels, normalize=True)  # type: ignore[no-any-return]

    def texts(self, ids: Tensor) -> Tensor:
        """(n, tokens) to (n, dimensions), of length 1; any number of tokens up to the context."""
        tower: Any = self.model.text
        whole, tokens = tower.attn_mask, ids.shape[1]
        tower.attn_mask = whole[:tokens, :tokens]
        try:
            return self.model.encode_text(ids, normalize=True)  # type: ignore[no-any-return]
        finally:
            tower.attn_mask = whole

    def shown(self, batch: Sequence[Pair]) -> Tensor:
        """(pairs, dimensions): the mean of each fragment's pictures, nothing where it has none.

        Added to what a fragment says: a content's vector is that sum, as serving has it.
        """
        owners = [
            number for number, pair in enumerate(batch) for turn in pair.turns if turn.picture
        ]
        specs = [turn.picture for pair in batch for turn in pair.turns if turn.picture]
        width = self.model.visual.output_dim
        total = torch.zeros(len(batch), width)
        if not specs:
            return total
        seen = self.pictures(pixels(specs)).float()
        total = total.index_add(0, torch.tensor(owners), seen)
        return nn.functional.normalize(total, dim=-1)  # a row of zeros stays one


def train(recipe: ClipRecipe) -> Path:
    """Trains and saves a folder that open_clip loads as `local-dir:`; returns it."""
    folder = RUNS / recipe.name
    tokenizer = text_tokenizer(RUNS / recipe.tokenizer / "model")
    start = folder / "start"
    _write_config(start, recipe, len(tokenizer), tokenizer)
    torch.manual_seed(recipe.seed)
    logging.disable(logging.WARNING)  # it warns that there are no weights; they are the base's
    model = open_clip.create_model(f"local-dir:{start}", load_weights=False)
    logging.disable(logging.NOTSET)
    base = clip_start.load_base(RUNS / recipe.base / "model")
    clip_start.start_words(model, base)
    clip_start.start_sight(model, base)
    towers = Towers(model, base)
    loss = ClipLoss()

    def step_of(step: int) -> loop.StepResult:
        rng = random.Random(f"clip/{recipe.seed}/{step}")
        with precision.autocast():
            specs, captions = _captioned(rng, recipe.batch_pictures)
            drawn = pixels(specs, greys=int(len(specs) * GREY_SHARE))
            seen = model.encode_image(drawn)
            missed = towers.sighted(seen, drawn)
        shown = {"missed": missed.item()}
        if step < recipe.sight_steps:
            return loop.StepResult(missed, len(specs), shown)
        with precision.autocast():
            named = towers.texts(cropped(tokenizer, captions, recipe.context_tokens))
        scale = model.logit_scale.exp()
        contrast = loss(nn.functional.normalize(seen.float(), dim=-1), named.float(), scale)
        total = contrast + recipe.help_weight * missed
        shown |= {"pictures": contrast.item(), "scale": scale.item()}
        if step % recipe.fragment_every == 0:
            batch = pairs.batch(rng, recipe.batch_fragments)
            with precision.autocast():
                asked = [pair.query.text for pair in batch]
                told = [plain_text(pair) for pair in batch]
                texts = cropped(tokenizer, [*asked, *told], recipe.context_tokens)
                queries, fragments = towers.texts(texts).float().chunk(2)
                fragments = fragments + towers.shown(batch)
            fragments = nn.functional.normalize(fragments, dim=-1)
            told_apart = pairs.contrast(queries, fragments, pairs.clashes(batch), 1 / scale)
            total = total + told_apart
            shown["texts"] = told_apart.item()
        return loop.StepResult(total, len(specs), shown)

    loop.run(
        folder, towers, recipe.optimiser, step_of, origin=Origin.of(recipe),
        evaluate=lambda: _evaluate(towers, tokenizer, recipe.context_tokens),
        evaluate_steps=max(1, recipe.optimiser.steps // 6),
    )  # fmt: skip
    return _save(model, tokenizer, start, folder / "model")


def text_tokenizer(source: Path) -> PreTrainedTokenizerFast:
    """The project's tokenizer with an end after every text: the place CLIP reads.

    And with a space before it: a query's first word is then the token that it is inside captions.
    """
    inner = Tokenizer.from_file(str(source / "tokenizer.json"))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Strip(right=False), normalizers.Prepend(" ")]
    )
    end = inner.token_to_id(END)
    inner.post_processor = TemplateProcessing(single=f"$A {END}", special_tokens=[(END, end)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )


def cropped(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], context: int) -> Tensor:
    """(texts, tokens) without the padding that open_clip adds; causal attention never sees it."""
    return tokenizer(  # type: ignore[no-any-return]
        list(texts), return_tensors="pt", max_length=context, padding=True, truncation=True
    ).input_ids


def pixels(specs: Sequence[PictureSpec], greys: int = 0) -> Tensor:
    """Draws and normalises; the first `greys` pictures lose their colour.

    Returns:
        (pictures, 3, side, side).
    """
    drawn = np.stack([np.asarray(draw(spec), dtype=np.float32) for spec in specs])
    drawn[:greys] = drawn[:greys].mean(axis=-1, keepdims=True)
    levelled = (drawn / 255.0 - MEAN) / STD
    return torch.from_numpy(np.ascontiguousarray(levelled.transpose(0, 3, 1, 2)))


def plain_text(pair: Pair) -> str:
    """What a fragment says, without its speakers and pictures."""
    return " ".join(turn.text for turn in pair.turns if turn.text)


def _captioned(rng: random.Random, count: int) -> tuple[list[PictureSpec], list[str]]:
    """Pictures with words about them, grey ones first and these without a colour.

    Things of grey pictures differ, and so do the coloured ones' pairs of thing and colour: two
    pictures that one caption fits would be each other's wrong answers.
    """
    greys = int(count * GREY_SHARE)
    chosen: list[tuple[str, str]] = []
    taken: set[tuple[str, str] | str] = set()
    while len(chosen) < count:
        for _ in range(DISTINCT_TRIES):
            item, colour = rng.choice(training_pairs())
            key = item if len(chosen) < greys else (item, colour)
            if key not in taken:
                break
        taken.add(key)
        chosen.append((item, colour))
    specs = [drawn_spec(rng, pair) for pair in chosen]
    # Some of the coloured ones go without their colour too, else a bare name would mean grey.
    coloured = [number >= greys and rng.random() >= PLAIN_SHARE for number in range(count)]
    captions = [
        pairs.caption(spec, rng, coloured=is_coloured)
        for spec, is_coloured in zip(specs, coloured, strict=True)
    ]
    return specs, captions


@torch.no_grad()
def _evaluate(towers: Towers, tokenizer: PreTrainedTokenizerFast, context: int) -> dict[str, float]:
    """Which of all things, and of all colours of the right thing, fits a fresh picture best.

    Words are those of queries, in both languages.
    """
    words = lexicon.load()
    items, colours = sorted(words.items), sorted(words.colours)
    shares: dict[str, float] = {}
    for language in LANGUAGES:
        rng = random.Random(f"clip/evaluate/{language}")
        specs = [
            PictureSpec(rng.choice(items), rng.choice(colours), -1 - rng.randrange(10**6))
            for _ in range(160)
        ]
        seen = towers.pictures(pixels(specs)).float()
        names = [words.items[item].ask(language)[0] for item in items]
        named = towers.texts(cropped(tokenizer, names, context)).float()
        item_of = torch.tensor([items.index(spec.item) for spec in specs])
        right = (seen @ named.T).argmax(-1) == item_of
        shares[f"item_{language}"] = right.float().mean().item()
        coloured = words.phrases[language].coloured
        full = [
            coloured.format(colour=words.colours[colour].ask(language), x=name)
            for name in names
            for colour in colours
        ]
        told = towers.texts(cropped(tokenizer, full, context)).float()
        both = item_of * len(colours) + torch.tensor([colours.index(s.colour) for s in specs])
        shares[f"both_{language}"] = ((seen @ told.T).argmax(-1) == both).float().mean().item()
    return {name: round(value, 4) for name, value in shares.items()}


def _write_config(
    folder: Path, recipe: ClipRecipe, vocabulary: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": {
            "embed_dim": recipe.width,
            "quick_gelu": True,  # as the base's vision, whose layers move over
            "custom_text": True,  # the tower that takes texts of any length
            "vision_cfg": {
                "image_size": SIDE_PIXELS,
                "layers": recipe.vision_layers,
                "width": recipe.width,
                "head_width": recipe.width // recipe.heads,
                "patch_size": PATCH,
                "no_ln_pre": True,
                "pool_type": "avg",
            },
            "text_cfg": {
                "context_length": recipe.context_tokens,
                "vocab_size": vocabulary,
                # Any name makes open_clip read the tokenizer that lies in this folder.
                "hf_tokenizer_name": "local",
                "width": recipe.width,
                "heads": recipe.heads,
                "layers": recipe.layers,
                "pool_type": "eos",
                "eos_id": tokenizer.convert_tokens_to_ids(END),
                "pad_id": tokenizer.convert_tokens_to_ids(PAD),
            },
        },
        "preprocess_cfg": {"mean": MEAN.tolist(), "std": STD.tolist()},
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _save(model: nn.Module, tokenizer: PreTrainedTokenizerFast, start: Path, folder: Path) -> Path:
    def write(into: Path) -> None:
        shutil.copyfile(start / CONFIG, into / CONFIG)
        tokenizer.save_pretrained(into)
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights, into / WEIGHTS, metadata={"format": "pt"})

    return whole.write_folder(folder, write)
