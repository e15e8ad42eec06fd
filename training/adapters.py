"""Teaches a LoRA adapter one published task on the frozen base, with TRL and PEFT."""

import random
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoProcessor, PrinterCallback, Qwen2VLForConditionalGeneration
from transformers.processing_utils import ProcessorMixin
from trl import SFTConfig, SFTTrainer

from training import generate, loop, precision, scoring, trainer_checkpoints, whole
from training.data import prompts
from training.data.prompts import Example
from training.data.world import splits
from training.data.world.pictures import PictureSpec, draw
from training.ending import Stopped, StopRequest
from training.origin import Origin
from training.progress import Progress
from training.recipe import RUNS, AdapterRecipe
from training.trainer_checkpoints import Watch

# The language model's linear layers alone: the vision tower and the merger stay as they are.
TARGETS = r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def lora(rank: int, alpha: int, layers: str = r"\d+") -> LoraConfig:
    """An adapter of the linear layers of those layers whose number `layers` matches."""
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=TARGETS.replace(r"layers\.\d+", rf"layers\.{layers}"),
        task_type="CAUSAL_LM",
    )


def train(recipe: AdapterRecipe) -> Path:
    """Trains and saves an adapter; returns its folder.

    Raises:
        Refused: the last checkpoint is another recipe's.
        Stopped: a signal came; the step in hand was finished and saved.
    """
    folder = RUNS / recipe.name
    origin = Origin.of(recipe)
    last = trainer_checkpoints.last(folder, origin)
    start = trainer_checkpoints.step_of(last) if last else 0
    processor = AutoProcessor.from_pretrained(RUNS / recipe.base / "model")
    trainer = _trainer(recipe, processor)
    steps = recipe.optimiser.steps
    if last and start >= steps:
        trainer.model.load_adapter(str(last), "default")
    else:
        with (
            StopRequest() as stop,
            loop.exact(),
            Progress(folder, start=start, steps=steps) as shown,
        ):
            watch = Watch(
                shown, stop, origin, recipe, lambda model: _validated(model, processor, recipe)
            )
            trainer.add_callback(watch)
            trainer.train(resume_from_checkpoint=str(last) if last else None)
            shown.draw()
        if stop.number is not None:
            raise Stopped(stop.number, loop.stopped_after(trainer.state.global_step, steps))
    return whole.write_folder(folder / "model", trainer.model.save_pretrained)


def _trainer(recipe: AdapterRecipe, processor: ProcessorMixin) -> SFTTrainer:
    settings = recipe.optimiser
    trainer = SFTTrainer(
        model=Qwen2VLForConditionalGeneration.from_pretrained(
            RUNS / recipe.base / "model", dtype=torch.float32
        ),
        processing_class=processor,
        args=SFTConfig(
            output_dir=str(RUNS / recipe.name),
            max_length=None,
            max_steps=settings.steps,
            per_device_train_batch_size=recipe.batch_samples,
            learning_rate=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            lr_scheduler_type="linear",
            bf16=precision.dtype() is torch.bfloat16,
            use_cpu=True,
            seed=recipe.seed,
            data_seed=recipe.seed,
            train_sampling_strategy="sequential",
            gradient_checkpointing=False,
            save_steps=recipe.save_steps,
            save_total_limit=2,  # the one before stays until the new one is marked as whole
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=_dataset(recipe, processor),
        peft_config=lora(recipe.rank, recipe.alpha),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


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


def _validated(model: Any, processor: ProcessorMixin, recipe: AdapterRecipe) -> dict[str, float]:
    with precision.autocast():
        return evaluate(model, processor, recipe.task, "validation", recipe.evaluate_prompts)


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
            "images": [picture.ref() for picture in example.pictures],
        }
        for batch in batches
        for example in batch
    ]
    return Dataset.from_list(rows).with_transform(_with_pictures)


def _with_pictures(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Draws the pictures when a batch is read, so that none are stored."""
    drawn = [[draw(PictureSpec.parse(ref)) for ref in refs] for refs in rows["images"]]
    return {**rows, "images": drawn}
