"""The starter tokenizer: byte-level BPE over the world's text, with Qwen2-VL's special tokens.

Protocol tags are single tokens that are *not* special, so they stay in decoded text as plain
text; whole numbers to 999 and `, ` are single tokens, so pointing at an id is a one-step copy.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen2VLProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

from colloquy.protocols import f2rvlm, lamra
from training.data.world import lexicon, splits

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
TAGS = tuple(
    f"<|{name}_{edge}|>"
    for name in ("utt_id", "img_id", "utt_ids", "img_ids", "query")
    for edge in ("start", "end")
)
# Han runs, Latin words with the space before and a number behind them (" user1"), numbers, the
# separator of lists, brackets and marks one by one, white space.
PIECES = r"\p{Han}+| ?[a-zA-ZÀ-ɏ]+\d{0,2}|\d{1,3}|, | ?[^\s\p{L}\p{N}]|[^\s\p{N}]+|\p{N}|\n| |\s+"
NUMBERS = 1000
WORDS_TO_KEEP = (", ", "Yes", "No", " Yes", " No", "IMAGE", "True", "False", "是", "否")
MIN_PIXELS, MAX_PIXELS = 56 * 56, 84 * 84
DEFAULT_SYSTEM = "You are a helpful assistant."

# Written as Qwen2-VL writes it: a default system turn, vision tags around each picture.
CHAT_TEMPLATE = """
{%- if messages[0].role != 'system' -%}
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}{{ '\n' }}
{%- if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type in ('image', 'image_url') -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' -%}
<|vision_start|><|video_pad|><|vision_end|>
{%- elif 'text' in part -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>{{ '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant{{ '\n' }}
{%- endif -%}
""".strip()


def build(vocabulary: int, dialogues: int) -> Tokenizer:
    """Trains the tokenizer.

    Args:
        vocabulary: tokens in all, added ones included.
        dialogues: how many training dialogues are read.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL) - len(TAGS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(dialogues), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    return tokenizer


def save_processor(tokenizer: Tokenizer, folder: Path, max_tokens: int) -> None:
    """Writes tokenizer, chat template and preprocessor so that `AutoProcessor` loads them."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=list(SPECIAL),
    )
    sizes = {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=sizes, patch_size=14, merge_size=2),
        tokenizer=fast,
        video_processor=Qwen2VLVideoProcessor(size=sizes, patch_size=14, merge_size=2),
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)


def _corpus(dialogues: int) -> Iterator[str]:
    """Yields text, Chinese cut into words so that no merge spans a whole sentence."""
    for number in range(NUMBERS):
        yield from [str(number)] * 1500
    for word in (*WORDS_TO_KEEP, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        yield from [word] * 1500
    for number in range(dialogues):
        entry = splits.sample("train", number)
        for turn in entry.dialogue.turns:
            yield from _words(f" {turn.speaker}: {turn.text}")
            yield from _words(turn.text)
        for query in entry.queries:
            yield from _words(query.text)
            yield f" {query.text}"
    for _ in range(4):
        for word in _lexicon_words():
            yield from [word] * 100
    # The published prompts are fixed text: whole runs of them become single tokens.
    fixed = (
        f2rvlm.render_fragment([], ""),
        f2rvlm.render_split([]),
        lamra.render_embedding([" "]),
        lamra.render_pointwise([lamra.FRAGMENT_INSTRUCTION], [""], "qwen2-vl"),
        lamra.render_listwise([lamra.FRAGMENT_INSTRUCTION], [""], "qwen2-vl"),
    )
    for prompt in fixed:
        yield from [f"{prompt.system}\n{prompt.user}"] * max(200, dialogues // 4)
    yield from [f"system\n{DEFAULT_SYSTEM}\nuser\nassistant\n"] * 300


def _words(text: str) -> Iterator[str]:
    if text.isascii():
        yield text
    else:
        yield from _cutter()(text)


@cache
def _cutter() -> Callable[[str], Iterator[str]]:
    """Cuts Chinese into words; the library is loaded here because its import warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel("ERROR")
    return jieba.cut  # type: ignore[no-any-return]


def _lexicon_words() -> Iterator[str]:
    words = lexicon.load()
    for item in words.items.values():
        yield from (item.en, f" {item.en}", item.zh)
        for ask in item.ask_en:
            yield from (ask, f" {ask}")
        for ask in item.ask_zh:
            yield from _cutter()(ask)
    for told in (*words.events.values(), *words.matters.values()):
        for ask in (*told.en.ask, *told.zh.ask):
            yield from (piece for word in _words(ask) for piece in (word, f" {word}"))
    for family in (*words.families.values(), *words.matter_families.values()):
        yield from (f" {family.en}", *_cutter()(family.zh))
    looks = (words.colours, words.styles, words.counts, words.relations)
    for word in (word for group in looks for word in group.values()):
        yield from (f" {word.en}", f" {word.ask_en}", word.zh, *_cutter()(word.ask_zh))
    for phrases in words.phrases.values():
        names = (*phrases.people, *phrases.places, *phrases.shops, *phrases.days)
        yield from (piece for name in names for piece in (name, f" {name}"))
