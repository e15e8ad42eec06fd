"""CLIP begins with the base's words and sight."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import nn
from transformers import AutoTokenizer

from tests.unit.training import tiny
from training import clip, clip_start
from training.ending import Refused
from training.vision import PATCH, SIDE_PIXELS, drawn_spec, picture_tokens, training_pairs

LAYERS = tiny.SHAPE.vision_layers


def with_tower(layers: int = LAYERS, width: int = tiny.SHAPE.vision_width) -> Any:
    torch.manual_seed(1)
    tower = VisionTransformer(
        SIDE_PIXELS, PATCH, width, layers, tiny.SHAPE.vision_heads, 4.0, output_dim=width,
        no_ln_pre=True, pool_type="avg", act_layer=QuickGELU,
    )  # fmt: skip
    words = nn.Embedding(tiny.model().get_input_embeddings().num_embeddings, 16)
    return SimpleNamespace(visual=tower, text=SimpleNamespace(token_embedding=words))


@pytest.fixture(scope="module")
def base() -> Any:
    return tiny.model().eval()


def drawn(count: int) -> torch.Tensor:
    rng = random.Random(2)
    return clip.pixels([drawn_spec(rng, rng.choice(training_pairs())) for _ in range(count)])


@torch.no_grad()
def test_without_places_the_tower_gives_what_the_base_gives(base: Any) -> None:
    """A picture of one colour has the same patches everywhere, whatever turns with place."""
    model = with_tower()
    clip_start.start_sight(model, base)
    tower = model.visual
    tower.positional_embedding.zero_()
    plain = torch.linspace(-1, 1, 3)[None, :, None, None].expand(1, 3, SIDE_PIXELS, SIDE_PIXELS)
    hidden = tower._embeds(plain)[:, 1:]  # a patch among others like it; no class beside it
    ours = tower.transformer(hidden)
    visual = base.model.visual
    kept: list[torch.Tensor] = []
    hook = visual.merger.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    picture_tokens(visual, clip_start.cut(plain.numpy()))
    hook.remove()
    assert torch.allclose(ours[0], kept[0], atol=1e-5)


@torch.no_grad()
def test_a_further_layer_begins_as_nothing(base: Any) -> None:
    model = with_tower(LAYERS + 1)
    clip_start.start_sight(model, base)
    hidden = torch.randn(2, 5, tiny.SHAPE.vision_width)
    assert torch.equal(model.visual.transformer.resblocks[-1](hidden), hidden)


def test_another_shape_is_refused(base: Any) -> None:
    with pytest.raises(Refused, match=r"width, heads, vision_layers: are 32, 2, 1; the base sees"):
        clip_start.start_sight(with_tower(width=32), base)


@torch.no_grad()
def test_words_that_are_near_in_the_base_start_near() -> None:
    base = tiny.model()
    words = base.get_input_embeddings().weight
    words[7] = words[5] + 0.001
    model = with_tower()
    clip_start.start_words(model, base)
    started = model.text.token_embedding.weight
    assert (started[7] - started[5]).norm() < 0.1 * (started[7] - started[6]).norm()


def test_a_word_is_the_same_tokens_at_the_beginning_and_inside(tmp_path: Path) -> None:
    tiny.processor().save_pretrained(tmp_path)
    clip.text_tokenizer(tmp_path).save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    first, spaced, inside = (
        tokenizer(text).input_ids
        for text in ("azure receiver", "  azure receiver", "find azure receiver")
    )
    assert first == spaced == inside[-len(first) :]
    assert tokenizer.decode(first[-1:]) == clip.END
    assert tokenizer("").input_ids == first[-1:]


def test_the_head_is_told_what_share_it_misses(base: Any) -> None:
    pixels = drawn(6)
    sighted = clip_start.Sighted(tiny.SHAPE.vision_width, base)
    assert {name for name, _ in sighted.named_parameters()} == {"head.weight", "head.bias"}
    wanted = picture_tokens(base.model.visual, clip_start.cut(pixels.numpy())).mean(dim=1).detach()
    with torch.no_grad():
        sighted.head.weight.zero_()
        sighted.head.bias.copy_(wanted.mean(dim=0))
    seen = torch.randn(6, tiny.SHAPE.vision_width)
    assert sighted(seen, pixels).item() == pytest.approx(1.0, abs=1e-4)
