"""What a run's weights come from, so that a checkpoint is gone on with by its own recipe alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from training import precision, whole
from training.ending import Refused
from training.recipe import AnyRecipe

Value = str | int | float | bool | None
GROWING = frozenset({"optimiser.steps"})
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """A recipe and the weights that it begins with.

    Attributes:
        fields: the recipe's fields by dotted name, and a hash for each run that it begins with.
        growing: those that may have become larger when a run goes on. More steps of a stage leave
            what it and the stages before it have done as it is.
    """

    fields: Mapping[str, Value]
    growing: frozenset[str] = GROWING

    @classmethod
    def of(cls, recipe: AnyRecipe, growing: frozenset[str] = GROWING) -> "Origin":
        fields = dict(_flat(recipe.model_dump(mode="json")))
        for field, folder in recipe.earlier().items():
            fields[f"{field}'s files"] = whole.hash_of(folder)
        return cls(fields, growing)

    @property
    def seed(self) -> int:
        return int(self.fields.get("seed") or 0)

    def as_json(self) -> str:
        """With what this process computes with: other threads may round otherwise."""
        made_with = {
            "torch": str(torch.__version__),
            "threads": torch.get_num_threads(),
            "numbers": precision.name(),
        }
        return json.dumps({"fields": dict(self.fields), "made_with": made_with})

    def check(self, text: str, path: Path) -> str | None:
        """Compares with what a checkpoint says of itself; returns a remark, if there is one.

        Raises:
            Refused: it was made by another recipe.
        """
        said = json.loads(text)
        before: Mapping[str, Value] = said["fields"]
        changes = [
            f"{name} was {_shown(before.get(name))} and is {_shown(self.fields.get(name))}"
            for name in sorted({*before, *self.fields})
            if not self._may_be(name, before)
        ]
        if changes:
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            raise Refused(
                f"{path}: was made by another recipe: {', '.join(changes[:_SHOWN])}{more}. Only "
                "steps may be raised; else give the recipe another name, or move the folder away"
            )
        now = json.loads(self.as_json())["made_with"]
        if said["made_with"] == now:
            return None
        return (
            f"{path}: was made with {_words(said['made_with'])}, this process has {_words(now)}: "
            "the weights may differ from those of a run without a break"
        )

    def _may_be(self, name: str, before: Mapping[str, Value]) -> bool:
        old, new = before.get(name), self.fields.get(name)
        if name in self.growing and isinstance(old, int) and isinstance(new, int):
            return new >= old
        return old == new and (name in before) == (name in self.fields)


def _flat(value: object, name: str = "") -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, str | int | float | bool | None):
        yield name, value
    else:
        yield name, json.dumps(value)


def _shown(value: Value) -> str:
    return "not there" if value is None else str(value)


def _words(made_with: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(made_with.items()))
