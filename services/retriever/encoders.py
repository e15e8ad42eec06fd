"""open_clip models: loading, and blocking encoders. Only here does a service import torch."""

import hashlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from colloquy.media.failures import BadImage
from colloquy.registry.store import Registry
from colloquy.sections import ClipSpace
from services.retriever.encoding import Array, unit

Tensor = Any
_FOLDER = "local-dir:"
_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_DIGEST_CHARACTERS = 12
# Of what open_clip's own tokenizer reads at once: it takes the square of a word's length, and a
# hundred thousand letters without a space would hold a thread for hours.
_WORD_CHARACTERS = 64
# That it may remember; by itself it never forgets one.
_KNOWN_WORDS = 65_536


class ClipModel:
    """One open_clip model. Every method blocks; any thread may call.

    Attributes:
        revision: `clip@2` of a checkpoint, else the space's name and a hash of the weights.
        dimensions: of its vectors.
        context_tokens: the longest text, marks included.
        shortens: a batch of texts costs its longest one, not the whole context.
    """

    def __init__(
        self, model: Any, preprocess: Any, tokenizer: Any, picture_dtype: Any, revision: str
    ) -> None:
        self._model = model.eval()
        self._preprocess = preprocess
        self._texts = _Texts(tokenizer)
        self._computing = Lock()
        self._device = next(model.parameters()).device
        self._picture_dtype = picture_dtype
        self.revision = revision
        self.context_tokens = self._texts.context_tokens
        self.shortens = _reads_up_to_its_end(model)
        self.dimensions = int(self.encode_texts([self.tokens("")]).shape[1])

    # --- text -------------------------------------------------------------------------------

    def count(self, text: str) -> int:
        """Tokens of a text, marks included, were there no limit."""
        return self._texts.count(text)

    def tokens(self, text: str) -> Tensor:
        """The padded tokens of a text that fits: (context_tokens,)."""
        return self._texts.tokens(text)

    def encode_texts(self, tokens: Sequence[Tensor]) -> Array:
        """Unit vectors of tokenised texts: (texts, dimensions)."""
        import torch

        batch = torch.stack(list(tokens)).to(self._device)
        with self._computing, torch.inference_mode():
            if self.shortens:
                return _vectors(_encode_shortened(self._model, batch))
            return _vectors(self._model.encode_text(batch))

    # --- pictures ---------------------------------------------------------------------------

    def prepare(self, data: bytes) -> Tensor:
        """Decodes a picture and brings it into the model's form: (3, height, width).

        Raises:
            BadImage: it cannot be decoded.
        """
        try:
            with Image.open(io.BytesIO(data)) as picture:
                return self._preprocess(picture.convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise BadImage("the picture cannot be decoded") from error

    def encode_pictures(self, pictures: Sequence[Tensor]) -> Array:
        """Unit vectors of prepared pictures: (pictures, dimensions)."""
        import torch

        batch = torch.stack(list(pictures)).to(self._device, self._picture_dtype)
        with self._computing, torch.inference_mode():
            return _vectors(self._model.encode_image(batch))


def load_clip(name: str, space: ClipSpace, registry: Registry) -> ClipModel:
    """Loads what the space `name` is computed with.

    Raises:
        CheckpointMissing, CheckpointBroken: of a checkpoint; OSError, RuntimeError, ValueError:
            open_clip finds no such model or cannot read it.
    """
    import open_clip
    import torch

    if space.threads is not None and space.device == "cpu":
        torch.set_num_threads(space.threads)
    source, pretrained, revision = _source(space.model, registry)
    with warnings.catch_warnings():
        # An activation that differs from the tag's is what the published numbers were made with.
        warnings.simplefilter("ignore")
        model, _, preprocess = open_clip.create_model_and_transforms(
            source,
            pretrained=pretrained,
            precision=_PRECISIONS[space.dtype],
            device=space.device,
            weights_only=True,
        )
        tokenizer = open_clip.get_tokenizer(source)
    if revision is None:
        revision = f"{name}@{_digest(model)}"
    return ClipModel(model, preprocess, tokenizer, getattr(torch, space.dtype), revision)


def _source(model: str, registry: Registry) -> tuple[str, str | None, str | None]:
    """open_clip's name, its tag of weights, and the revision where the registry knows it."""
    if model.startswith(_FOLDER):
        return model, None, None
    if "/" not in model:
        checkpoint = registry.resolve(model)
        registry.verify(checkpoint)
        return f"{_FOLDER}{checkpoint.folder.resolve()}", None, checkpoint.name
    if Path(model).is_dir():
        return _FOLDER + model, None, None
    architecture, _, tag = model.rpartition("/")
    return architecture, tag, None


def _digest(model: Any) -> str:
    """A name for the weights that changes when they do."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:_DIGEST_CHARACTERS]


def _vectors(features: Tensor) -> Array:
    vectors: Array = features.float().cpu().numpy().astype(np.float32, copy=False)
    return unit(vectors)


# --- text -------------------------------------------------------------------------------------


class _Texts:
    """open_clip's tokenizers, which cut off what does not fit and read marks in a user's text as
    marks: `<end_of_text>` would hide everything behind it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # A fast tokenizer keeps how it pads and truncates in itself, so of two threads that ask in
        # different ways one would get the other's form: rows of different lengths.
        self._asking = Lock()
        self.context_tokens = int(tokenizer.context_length)
        self._is_own = hasattr(tokenizer, "sot_token_id")
        self._inner = getattr(tokenizer, "tokenizer", None)
        if self._inner is not None:
            self._inner.split_special_tokens = True

    def count(self, text: str) -> int:
        if self._is_own:
            return len(self._ids(text)) + 2
        if self._inner is None:
            return len(text.encode("utf-8", "replace"))
        cleaned = self._tokenizer.clean_fn(text)
        with self._asking:
            return len(self._inner(cleaned, truncation=False, verbose=False)["input_ids"])

    def tokens(self, text: str) -> Tensor:
        import torch

        if not self._is_own:
            with self._asking:
                return self._tokenizer([text])[0]
        row = torch.zeros(self.context_tokens, dtype=torch.long)
        # Nothing is cut but the one character that has more tokens than the whole context.
        ids = self._ids(text)[: self.context_tokens - 2]
        marked = [self._tokenizer.sot_token_id, *ids, self._tokenizer.eot_token_id]
        row[: len(marked)] = torch.tensor(marked)
        return row

    def _ids(self, text: str) -> list[int]:
        """As the tokenizer's `encode`, without marks; a very long word is read in pieces."""
        own = self._tokenizer
        ids: list[int] = []
        for word in own.pat.findall(own.clean_fn(text)):
            for start in range(0, len(word), _WORD_CHARACTERS):
                ids += self._ids_of(word[start : start + _WORD_CHARACTERS])
        return [token for token in ids if token not in own.all_special_ids]

    def _ids_of(self, word: str) -> list[int]:
        own = self._tokenizer
        letters = "".join(own.byte_encoder[byte] for byte in word.encode("utf-8"))
        with self._asking:  # it looks whether it knows a word, and then for the word
            if len(own.cache) > _KNOWN_WORDS:
                own.cache = {own.decoder[mark]: own.decoder[mark] for mark in own.all_special_ids}
            pieces = own.bpe(letters).split(" ")
        return [own.encoder[piece] for piece in pieces]


def _tower(model: Any) -> Any:
    """What holds the weights of texts: the model itself, or a part of it."""
    from open_clip.model import CustomTextCLIP

    return model.text if isinstance(model, CustomTextCLIP) else model


def _pooling(tower: Any) -> tuple[str | None, int | None]:
    """Which token a text is read at, `argmax` or `eos`, and that mark's id."""
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    mark = getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", None)
    return pool, mark


def _reads_up_to_its_end(model: Any) -> bool:
    """Whether a text's vector depends on nothing behind the mark of its end: causal towers of
    open_clip's own that are read at that mark."""
    from open_clip.model import CLIP, CustomTextCLIP
    from open_clip.transformer import TextTransformer

    tower = _tower(model)
    known = type(model) is CLIP or (
        type(model) is CustomTextCLIP
        and type(tower) is TextTransformer
        and tower.cls_emb is None
        and not tower.use_pad_mask
    )
    return known and _pooling(tower)[0] in ("argmax", "eos") and tower.attn_mask is not None


def _encode_shortened(model: Any, tokens: Tensor) -> Tensor:
    """`encode_text` without the padding that no text of the batch needs: (texts, dimensions).

    Most texts have a dozen tokens and the context has 77, so this is several times faster.
    """
    import torch

    tower = _tower(model)
    pool, mark = _pooling(tower)
    ends = (tokens if pool == "argmax" else (tokens == mark).int()).argmax(dim=-1)
    length = int(ends.max()) + 1
    tokens = tokens[:, :length]
    dtype = tower.transformer.get_cast_dtype()
    x = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    x = tower.ln_final(x)[torch.arange(len(x), device=x.device), ends]
    projection = tower.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
