"""Teaches a LoRA adapter one published task on the frozen base, with TRL and PEFT."""

import random
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoProcessor,
    Qwen2VLForConditionalGeneration,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.processing_utils import ProcessorMixin
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from training import generate, loop, scoring
from training.data import prompts
from training.data.prompts import Example
from training.data.world import splits
from training.data.world.pictures import PictureSpec, draw
from training.recipe import RUNS, AdapterRecipe

# The language model's linear layers alone: the vision tower and the merger stay as they are.
TARGETS = r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def train(recipe: AdapterRecipe) -> Path:
    """Trains and saves an adapter; returns its folder."""
    folder = RUNS / recipe.name
    base = RUNS / recipe.base / "model"
    processor = AutoProcessor.from_pretrained(base)
    model = Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    settings = recipe.optimiser
    trainer = SFTTrainer(
        model=model,
        processing_class=processor,
        args=SFTConfig(
            output_dir=str(folder),
            max_length=None,
            max_steps=settings.steps,
            per_device_train_batch_size=recipe.batch_samples,
            learning_rate=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            lr_scheduler_type="linear",
            bf16=True,
            use_cpu=True,
            seed=recipe.seed,
            data_seed=recipe.seed,
            train_sampling_strategy="sequential",
            gradient_checkpointing=False,
            save_steps=recipe.save_steps,
            save_total_limit=1,
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=_dataset(recipe, processor),
        peft_config=LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, target_modules=TARGETS, task_type="CAUSAL_LM"
        ),
        callbacks=[_Progress(folder, recipe.batch_samples)],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    trainer.model.save_pretrained(folder / "model")
    return folder / "model"


def examples(task: str, split: splits.Split, count: int) -> list[Example]:
    """The first `count` published prompts of a split, dialogue by dialogue."""
    made: list[Example] = []
    for number in range(splits.DIALOGUES[split]):
        entry = splits.sample(split, number)
        if task == "split":
            made.append(prompts.split_example(entry.dialogue))
        else:
            made += [prompts.fragment_example(entry.dialogue, query) for query in entry.queries]
        if len(made) >= count:
            break
    return made[:count]


def evaluate(
    model: Any, processor: ProcessorMixin, task: str, split: splits.Split, count: int
) -> dict[str, float]:
    """Scores a model on the first `count` held-out prompts of its task."""
    asked = examples(task, split, count)
    told = generate.answers(model, processor, asked)
    gold = [example.answer for example in asked]
    if task == "split":
        return {**scoring.split_scores(told, gold), "prompts": len(gold)}
    return {**scoring.fragment_scores(told, gold), "prompts": len(gold)}


def _dataset(recipe: AdapterRecipe, processor: ProcessorMixin) -> Dataset:
    """Prompts with answers, neighbours of equal length so that a batch wastes little padding."""
    made = examples(recipe.task, "train", recipe.samples)
    made.sort(key=lambda example: len(example.user) + 30 * len(example.pictures))
    size = recipe.batch_samples
    batches = [made[start : start + size] for start in range(0, len(made) - size + 1, size)]
    random.Random(recipe.seed).shuffle(batches)
    rows = [
        {
            "prompt": processor.apply_chat_template(
                generate.messages(example), add_generation_prompt=True, tokenize=False
            ),
            "completion": f"{example.answer}<|im_end|>\n",
            "images": [f"{p.item}/{p.colour}/{p.seed}" for p in example.pictures],
        }
        for batch in batches
        for example in batch
    ]
    return Dataset.from_list(rows).with_transform(_with_pictures)


def _with_pictures(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Draws the pictures when a batch is read, so that none are stored."""
    drawn = []
    for names in rows["images"]:
        parts = [name.split("/") for name in names]
        drawn.append([draw(PictureSpec(item, colour, int(seed))) for item, colour, seed in parts])
    return {**rows, "images": drawn}


class _Progress(TrainerCallback):
    """One line of progress, in the form of the other stages."""

    def __init__(self, folder: Path, batch_samples: int) -> None:
        self._folder = folder
        self._batch_samples = batch_samples
        self._began: tuple[float, int] | None = None

    def on_step_begin(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        if self._began is None:
            self._began = (time.monotonic(), state.global_step)

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs or self._began is None:
            return
        began, first = self._began
        seconds = time.monotonic() - began
        done = state.global_step - first
        loop.log(
            self._folder,
            {
                "step": state.global_step,
                "loss": float(logs["loss"]),
                "samples_per_s": round(done * self._batch_samples / seconds, 1),
                "eta_s": round(seconds / done * (state.max_steps - state.global_step)),
            },
        )
