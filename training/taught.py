"""How the layers of a judge are taught, and what they know.

`Yes` and `No` alone teach a small model little, so that what an answer takes is taught layer by
layer, with help that is thrown away at the end:

- the two lowest layers read: the token before a candidate begins gathers what the query asks, and
  a candidate's tokens know what each of them tells;
- in the layer above, one head for one kind of thing looks from each token of a candidate to what
  is asked, where it tells just that, and to the prompt's first token where it does not;
- in the next, the last token looks with one head a kind for tokens that found theirs.

What is left to the highest layers is to compare what is asked with what was found.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb

from training.data.encode import IGNORED
from training.forest import Forest
from training.judge import Judge
from training.values import KINDS, Values

READS = 2  # layers that read; the next one matches, the one after it finds
SHARP = 8.0  # what the reading heads' logits are multiplied by, so that they learn fast
RARE = -4.0  # logit of a value before anything is learnt: few tokens tell any
CODE = 10  # numbers of a head in which what is told and what is asked are compared
KEEN = 4.0  # what these numbers' weights are multiplied by, so that they learn fast
# A look at what is asked must win over some hundred other tokens that are looked at by nothing.
CROWD = 5.5
FAR = -1e4


@dataclass(frozen=True, slots=True)
class Reading:
    """What the lowest layers know.

    Attributes:
        asks: for each facet (rows, 1 + values), how surely a query asks for nothing, or a value.
        tells: (rows, tokens, values), how surely a token tells each value of all facets.
        shown: (rows, tokens) of bool: the tokens of candidates.
        seeks: (kinds, rows, tokens, codes), what each token would look for.
        sought: the same, how each token would be found. summary: (kinds, rows, codes), how what
            is asked would be.
    """

    asks: list[Tensor]
    tells: Tensor
    shown: Tensor
    seeks: Tensor
    sought: Tensor
    summary: Tensor


@dataclass(frozen=True, slots=True)
class Matching:
    """What the layer above them knows.

    Attributes:
        looks: (rows, tokens, kinds), the logit of the share of attention on what is asked.
        flags: (rows, tokens, kinds), how surely the token knows that it tells what is asked.
    """

    looks: Tensor
    flags: Tensor


@dataclass(frozen=True, slots=True)
class Judged:
    """What a forest's prompts were answered.

    Attributes:
        logits: (points, vocabulary). targets: (points,), of the answers' tokens.
        looks: (prompts, kinds), the logarithm of the share of attention that each head of the
            last token gives to the candidate.
        asked: (prompts, kinds), whether the last token takes each kind to be asked for.
    """

    logits: Tensor
    targets: Tensor
    looks: Tensor
    asked: Tensor


class TaughtJudge(Judge):
    """A judge and the heads that are thrown away.

    Args:
        values: all that can be told and asked.
    """

    def __init__(self, model: Any, processor: Any, values: Values) -> None:
        super().__init__(model, processor)
        tokenizer = processor.tokenizer
        self.values = values
        self._end = int(tokenizer.convert_tokens_to_ids("<|im_end|>"))
        self._shows = [tokenizer(text)["input_ids"] for text in ("Candidate:", "Candidates:")]
        width = self.base.config.text_config.hidden_size
        self.asking = nn.Linear(width, len(values.of_facet) + len(values.all))
        self.telling = nn.Linear(width, len(values.all))
        nn.init.constant_(self.telling.bias, RARE / SHARP)
        self.seeking = nn.Parameter(torch.randn(len(KINDS), CODE, width) * 0.05 / KEEN)
        self.sought = nn.Parameter(torch.randn(len(KINDS), CODE, width) * 0.05 / KEEN)
        self.flags = nn.Linear(width, len(KINDS))
        self.asked = nn.Linear(width, len(KINDS))

    def read(self, forest: Forest) -> Reading:
        """Reads with the lowest layers alone."""
        states = self.states(forest)
        for _ in range(READS):
            hidden = next(states)
        return self.reading(forest, hidden)

    def reading(self, forest: Forest, hidden: Tensor) -> Reading:
        """What the states after the lowest layers tell."""
        level = _levelled(hidden)
        rows = torch.arange(len(forest.ids))
        summary = level[rows, self.summaries(forest)]
        facets = len(self.values.of_facet)
        asking = self.asking(summary).float() * SHARP
        asks = [
            torch.cat([asking[:, n : n + 1], asking[:, facets:][:, own]], -1)
            for n, own in enumerate(self.values.of_facet.values())
        ]
        told = self.telling(level).float() * SHARP
        compared = self.base.model.language_model.layers[READS].input_layernorm(hidden)
        seeks, sought = (
            torch.einsum("kcd,rtd->krtc", weights * KEEN, compared).float()
            for weights in (self.seeking, self.sought)
        )
        summary = sought[:, rows, self.summaries(forest)]
        return Reading(asks, told, self._is_shown(forest), seeks, sought, summary)

    def matching(self, forest: Forest, hidden: Tensor, after: Tensor) -> Matching:
        """What the states before and after the matching layer tell."""
        looking, looked_at = self._compared(READS, forest, hidden)
        near = (looking @ looked_at.transpose(2, 3)).float()
        near = near.masked_fill(~forest.seen, FAR)  # (rows, heads, tokens, tokens)
        rows = torch.arange(len(forest.ids))
        summary = self.summaries(forest)
        there = near[rows, :, :, summary]  # (rows, heads, tokens)
        elsewhere = near.clone()
        elsewhere[rows, :, :, summary] = FAR
        looks = there - elsewhere.logsumexp(-1)
        return Matching(looks.transpose(1, 2), self.flags(_levelled(after)).float())

    @torch.no_grad()
    def wire(self) -> None:
        """Makes the matching layer's heads compare what reading has learnt to compare.

        A head's slowest turning numbers are set through the adapter alone, which has the rank to
        set so many rows freely; what the others compare stays.
        """
        language = self.base.model.language_model
        attention = language.layers[READS].self_attn
        width = attention.head_dim
        half, pairs = width // 2, CODE // 2
        own = [*range(half - pairs, half), *range(width - pairs, width)]
        places = torch.tensor([head * width + place for head in range(len(KINDS)) for place in own])
        gain = KEEN * width**0.25  # heads divide by the root of their width
        for linear, weights in (
            (attention.q_proj, self.seeking), (attention.k_proj, self.sought)
        ):  # fmt: skip
            wanted = weights.flatten(0, 1) * gain - linear.base_layer.weight[places]
            left, right = linear.lora_B["default"].weight, linear.lora_A["default"].weight
            left[places] = 0.0
            left[:, : len(places)] = 0.0
            left[places, torch.arange(len(places))] = 1 / linear.scaling["default"]
            right[: len(places)] = wanted

    def judged(self, forest: Forest) -> Judged:
        """Reads what `Yes` and `No` come from."""
        states = self.states(forest)
        for _ in range(READS + 1):
            matched = next(states)
        last = (forest.targets == self.yes) | (forest.targets == self.no)
        row, place = last.nonzero(as_tuple=True)
        shown = self._is_shown(forest)[row] & forest.seen[row, 0, place]
        looks = self._looks(forest, matched, row, place, shown)
        next(states)
        # One layer on, as the heads that look for things are not free to look at what is asked.
        asked = self.asked(_levelled(next(states)[last])).float()
        *_, hidden = states
        kept = forest.targets != IGNORED
        return Judged(self.words(hidden[kept]), forest.targets[kept], looks, asked)

    def _looks(
        self, forest: Forest, hidden: Tensor, row: Tensor, place: Tensor, shown: Tensor
    ) -> Tensor:
        queries, keys = self._compared(READS + 1, forest, hidden)
        near = torch.einsum("phd,phtd->pht", queries[row, :, place], keys[row]).float()
        seen = forest.seen[row, 0, place]  # (prompts, tokens)
        near = near.masked_fill(~seen[:, None], FAR).log_softmax(-1)
        return near.masked_fill(~shown[:, None], FAR).logsumexp(-1)

    def _compared(self, number: int, forest: Forest, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, heads, tokens, width), twice: what a layer's heads compare, scaled."""
        language = self.base.model.language_model
        layer = language.layers[number]
        attention = layer.self_attn
        level = layer.input_layernorm(hidden)
        shape = (*forest.ids.shape, -1, attention.head_dim)
        queries = attention.q_proj(level).view(shape).transpose(1, 2)
        keys = attention.k_proj(level).view(shape).transpose(1, 2)
        cosines, sines = language.rotary_emb(hidden, forest.positions)
        queries, keys = apply_rotary_pos_emb(queries, keys, cosines, sines)
        return queries * attention.head_dim**-0.5, keys

    def _is_shown(self, forest: Forest) -> Tensor:
        """(rows, tokens) of bool: the tokens of candidates."""
        shown = forest.branch > 0
        for row, branches in enumerate(forest.branch.tolist()):
            ends = (forest.ids[row] == self._end).nonzero()[:, 0].tolist()
            first: dict[int, int] = {}
            for place in ends:
                first.setdefault(branches[place], place)
            for number, place in first.items():
                if number > 0:
                    after = torch.arange(place, forest.ids.shape[1])
                    mine = after[forest.branch[row, place:] == number]
                    shown[row, mine] = False
        return shown

    def summaries(self, forest: Forest) -> Tensor:
        """(rows,): the place of the token before a candidate begins."""
        rows = forest.ids.tolist()
        return torch.tensor([max(_after(row, text) for text in self._shows) - 1 for row in rows])

    def teach(self, lowest: int, highest: int) -> None:
        """Lets the gradient reach some layers, both ends included, and nothing else."""
        for name, weight in self.named_parameters():
            if "lora_" in name:
                layer = int(name.split(".layers.")[1].split(".")[0])
                weight.requires_grad_(lowest <= layer <= highest)
        reads = lowest < READS
        self.asking.requires_grad_(reads)
        self.telling.requires_grad_(reads)
        self.seeking.requires_grad_(reads)
        self.sought.requires_grad_(reads)
        self.flags.requires_grad_(lowest <= READS <= highest)


def _levelled(hidden: Tensor) -> Tensor:
    return nn.functional.layer_norm(hidden, hidden.shape[-1:])


def _after(ids: list[int], wanted: list[int]) -> int:
    """The place behind the last time that `wanted` stands in `ids`, 0 where it does not."""
    size = len(wanted)
    return next((n for n in range(len(ids), size - 1, -1) if ids[n - size : n] == wanted), 0)
