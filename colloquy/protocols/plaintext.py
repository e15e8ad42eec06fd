"""Text is never structure: how a user's words enter a prompt without becoming part of its form."""

import re
import unicodedata

# Everything that splits lines for some reader (str.splitlines) and every other control character:
# in a dialogue block one line is one utterance. Tabs become spaces too; nothing is dropped, because
# dropping a character could join two halves of a tag.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# `<|…|>` is the form of every special token of the Qwen, Llama 3 and Phi families and of the
# protocol tags; the rest are the placeholders and tokens that do not have it, here of Llama 2,
# InternVL, Gemma, SmolVLM and DeepSeek, and the marks that vLLM itself puts where a picture stands.
_STRUCTURE = re.compile(
    r"<(?="
    r"\|[^<>|\s]{1,64}\|>"
    r"|/?(?:image|video|audio|img|IMG_CONTEXT|box|ref|quad|s|unk|pad|mask|bos|eos"
    r"|tool_call|tool_response|think|answer|Retrieval|emb"
    r"|start_of_turn|end_of_turn|start_of_image|end_of_image|image_soft_token"
    r"|fake_token_around_image|end_of_utterance|global-img|row_[0-9]{1,3}_col_[0-9]{1,3})>"
    r"|##[A-Z_]{1,32}##>"
    r"|\uff5c[^<>\uff5c]{1,64}\uff5c>"
    r")"
)


def one_line(text: str) -> str:
    """Returns `text` with every line break and control character replaced by one space."""
    return _CONTROL.sub(" ", text)


def neutralise(text: str) -> str:
    """Makes `text` safe to stand inside a prompt.

    Line breaks and control characters become spaces. In a special token, a protocol tag or a media
    placeholder the opening `<` becomes `< `, which no tokenizer and no parser reads as structure.
    A combining mark that opens the text gets a space to stand on: Unicode composition (NFC, which
    Qwen's tokenizer applies) would join it with the end of the tag before it, `>` and U+0338 to
    one `≯`. Everything else stays to the letter, and the function is idempotent.
    """
    safe = _STRUCTURE.sub("< ", one_line(text))
    return f" {safe}" if safe and unicodedata.combining(safe[0]) else safe
