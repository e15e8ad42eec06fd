"""What a training run is; `training.recipe_files` reads it from YAML."""

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

RUNS = Path("training/runs")
LOCK = ".lock"  # in the folder of a run that has begun here
VERSION = "2"  # of the starter that is trained now; 1 learnt the world before this one
PUBLISHED = ("base", "fragment", "split", "clip", "embed", "rank")
STAGES = ("tokenizer", "vision", "reading", "matching", *PUBLISHED)
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Field(gt=0, le=10**8)]
NotNegative = Annotated[int, Field(ge=0, le=10**8)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(Section):
    """A recipe; its `name` is that of the folder in `RUNS`."""

    # Fields that name an earlier run, whose `model` folder this one begins with.
    EARLIER: ClassVar[tuple[str, ...]] = ()

    name: RunName

    def earlier(self) -> dict[str, Path]:
        """For each field that names an earlier run the folder that it left."""
        return {field: RUNS / getattr(self, field) / "model" for field in self.EARLIER}


class Architecture(Section):
    width: Count = 192
    mlp_width: Count = 512
    layers: Count = 6
    heads: Count = 6
    key_value_heads: Count = 6
    vision_width: Count = 128
    vision_layers: Count = 3
    vision_heads: Count = 4
    max_tokens: Count = 8192
    embedding_std: Size = 0.05
    rope_theta: Size = 1e4

    @model_validator(mode="after")
    def _divides(self) -> Self:
        for whole, part in (
            ("width", "heads"), ("heads", "key_value_heads"), ("vision_width", "vision_heads")
        ):  # fmt: skip
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(f"{whole} is no multiple of {part}")
        return self


class Optimiser(Section):
    learning_rate: float = Field(gt=0, le=1, description="Peak, after warm-up.")
    warmup_steps: NotNegative
    steps: Count
    weight_decay: float = Field(default=0.05, ge=0)
    final_share: float = Field(default=0.05, description="Of the peak, at the last step.")


class TokenizerRecipe(Run):
    kind: Literal["tokenizer"]
    vocabulary: Count
    dialogues: Count
    max_tokens: Count = 8192


class VisionRecipe(Run):
    """Vision tower and merger, taught by a throw-away classifier of what is drawn."""

    EARLIER = ("tokenizer",)

    kind: Literal["vision"]
    tokenizer: RunName = Field(description="Name of the tokenizer's run.")
    seed: Seed = 0
    architecture: Architecture = Architecture()
    optimiser: Optimiser
    processes: Count = Field(default=1, description="Each sees pictures of its own.")
    batch_pictures: Count
    single_steps: NotNegative = Field(default=0, description="First steps, on single plain things.")
    pooled_steps: NotNegative = Field(
        default=0, description="First steps, in which the mean of a picture's tokens alone is read."
    )
    feature_rms: Size = Field(default=0.3, description="Size of a picture token's vector.")


class ReadingRecipe(Run):
    """The two lowest layers, taught to name what is asked and told."""

    EARLIER = ("tokenizer", "vision")

    kind: Literal["reading"]
    tokenizer: RunName
    vision: RunName
    seed: Seed = 0
    optimiser: Optimiser
    processes: Count = Field(default=1, description="Each reads rows of its own.")
    word_steps: NotNegative = Field(description="First steps, of the words' vectors alone.")
    batch_dialogues: Count = Field(description="A step and process.")
    batch_pictures: Count = Field(description="Besides, in a line of their own.")
    batch_queries: Count = Field(description="Besides, without a dialogue.")
    evaluate_steps: Count = 100


class MatchingRecipe(Run):
    """The layers that compare what is told with what is asked, learnt from a bank of words."""

    EARLIER = ("tokenizer", "reading")

    kind: Literal["matching"]
    tokenizer: RunName
    reading: RunName
    seed: Seed = 0
    optimiser: Optimiser
    processes: Count = Field(default=1, description="Each has a bank of its own.")
    bank_dialogues: Count = Field(description="That a bank reads.")
    bank_queries: Count
    batch_words: Count = Field(description="Of the bank, a step and process.")
    batch_queries: Count
    evaluate_steps: Count = 100


class ThinRun(Run):
    """A run over thin dialogues: what it teaches lies above what is read and compared."""

    tokenizer: RunName
    seed: Seed = 0
    optimiser: Optimiser
    processes: Count = Field(default=1, description="Each has a bank of its own.")
    bank_batches: Count = Field(description="That a process reads before it begins.")
    batch_rows: Count = Field(description="Prompts a step and process.")
    short_steps: NotNegative = Field(default=0, description="First steps, on the shorter half.")
    help_weight: float = Field(default=0.5, description="Of the throw-away heads.")
    evaluate_steps: Count = 300
    evaluate_queries: Count = 60


class BaseRecipe(ThinRun):
    """The language model, above the layers that match."""

    EARLIER = ("tokenizer", "matching")

    kind: Literal["base"]
    matching: RunName


class PointingRecipe(ThinRun):
    """A LoRA adapter for one published task on the base, taught as the base was."""

    EARLIER = ("tokenizer", "base")

    kind: Literal["pointing"]
    task: Literal["fragment", "split"]
    base: RunName
    rank: Count = 32
    alpha: Count = 64


class AdapterRecipe(Run):
    """A LoRA adapter for one task on the frozen base."""

    EARLIER = ("base",)

    kind: Literal["adapter"]
    task: Literal["fragment", "split"]
    base: RunName = Field(description="Name of the base run.")
    seed: Seed = 0
    rank: Count = 32
    alpha: Count = 64
    optimiser: Optimiser
    batch_samples: Count
    samples: Count = Field(description="Prompts, taken from the training split in order.")
    save_steps: Count = 50
    evaluate_steps: Count = 100
    evaluate_prompts: NotNegative = Field(default=24, description="Of the validation split.")

    @model_validator(mode="after")
    def _fills_a_batch(self) -> Self:
        if self.samples < self.batch_samples:
            raise ValueError("samples are fewer than batch_samples")
        return self


class ClipRecipe(Run):
    """Two small towers, one for pictures and one for texts, trained with open_clip."""

    EARLIER = ("tokenizer", "base")

    kind: Literal["clip"]
    tokenizer: RunName
    base: RunName = Field(description="Name of the run whose words and sight it starts from.")
    seed: Seed = 0
    width: Count = 128
    layers: Count = Field(default=3, description="Of the text tower.")
    vision_layers: Count = 4
    heads: Count = 4
    context_tokens: Count = 96
    optimiser: Optimiser
    batch_pictures: Count
    batch_fragments: Count
    fragment_every: Count = Field(default=2, description="Steps between batches of texts alone.")
    sight_steps: NotNegative = Field(default=0, description="First steps, of sight alone.")
    help_weight: float = Field(default=1.0, description="Of the throw-away head after these.")


class EmbedRecipe(Run):
    """A LoRA adapter whose last token is the embedding of a prompt: LamRA-Ret in small."""

    EARLIER = ("tokenizer", "base")

    kind: Literal["embed"]
    tokenizer: RunName
    base: RunName
    seed: Seed = 0
    rank: Count = 32
    alpha: Count = 64
    optimiser: Optimiser
    processes: Count = Field(default=1, description="Each contrasts pairs of its own.")
    bank_batches: Count = Field(description="That a process reads before it begins.")
    text_batches: Count = Field(description="Of these, of texts alone.")
    text_steps: NotNegative = Field(description="First steps, on texts alone.")
    batch_pairs: Count
    pool_batches: Count = Field(
        default=1, description="Drawn together, then divided so that fragments in one are alike."
    )
    temperature: Size = 0.05
    help_weight: float = Field(default=0.2, description="Of the throw-away head.")
    evaluate_steps: Count = 100


class RankRecipe(ThinRun):
    """A LoRA adapter that judges candidates, one by one and in lists: LamRA-Rank in small."""

    EARLIER = ("tokenizer", "base")

    kind: Literal["rank"]
    base: RunName
    rank: Count = 32
    alpha: Count = 64
    gather: Optimiser = Field(description="Of the lowest layers, to gather an untagged query.")
    gather_queries: Count = Field(description="A step of it and process.")
    wrong: Count = Field(default=3, description="Wrong candidates of each query.")
    lists: float = Field(default=0.15, ge=0, le=1, description="Share of queries asked by list.")


AnyRecipe = (
    TokenizerRecipe
    | VisionRecipe
    | ReadingRecipe
    | MatchingRecipe
    | BaseRecipe
    | PointingRecipe
    | AdapterRecipe
    | ClipRecipe
    | EmbedRecipe
    | RankRecipe
)
Recipe = Annotated[AnyRecipe, Field(discriminator="kind")]
ADAPTER: TypeAdapter[AnyRecipe] = TypeAdapter(Recipe)


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
