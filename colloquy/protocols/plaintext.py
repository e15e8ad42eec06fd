"""Text is never structure: how a user's words enter a prompt without becoming part of its form."""

import re

# Everything that splits lines for some reader (str.splitlines) and every other control character:
# in a dialogue block one line is one utterance. Tabs become spaces too; nothing is dropped, because
# dropping a character could join two halves of a tag.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# `<|…|>` is the form of every special token of the Qwen, Llama 3 and InternVL families and of the
# protocol tags; the rest are the placeholders and tokens that do not have it.
_STRUCTURE = re.compile(
    r"<(?="
    r"\|[^<>|\s]{1,64}\|>"
    r"|/?(?:image|video|audio|img|IMG_CONTEXT|box|ref|quad|s|unk|pad|mask|bos|eos"
    r"|tool_call|tool_response|think|answer|Retrieval|emb)>"
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
    Everything else stays to the letter, and the function is idempotent.
    """
    return _STRUCTURE.sub("< ", one_line(text))
