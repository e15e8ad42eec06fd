"""What a finished stage of the starter has left, in `training/stages`, and when it is taken.

A stage that was kept is taken instead of run while its recipe and those before it are the same.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from training import recipe_files, whole
from training.ending import Refused
from training.recipe import LOCK, RUNS, STAGES, AnyRecipe, file_hash
from training.recipe_files import RECIPES

BASE_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "processor_config.json",
)  # fmt: skip
DONE = "done.json"
KEPT = Path("training/stages")
MADE_BY = "recipes.json"
MODEL = "model.json"
FILES = "files.json"
_HASHES = TypeAdapter(dict[str, str])
_TAKING = ".taking"
WEIGHTS = "model.safetensors"


def recipes_in(folder: Path) -> dict[str, Path]:
    """The recipes of the chain by the names of their runs, in order."""
    paths = [folder / f"{stage}.yaml" for stage in STAGES]
    return {recipe_files.load(path).name: path for path in paths if path.exists()}


def recipes_before(there: Mapping[str, Path], name: str) -> dict[str, str]:
    """The hashes of a run's recipe and of those that lead to it, by the runs' names."""
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in there and name not in found:
            found[name] = file_hash(there[name])
            waiting += earlier(there[name])
    return found


def earlier(path: Path) -> list[str]:
    """Names of the runs that a recipe begins with."""
    recipe = recipe_files.load(path)
    return [getattr(recipe, field) for field in recipe.EARLIER]


def read(path: Path) -> dict[str, str] | None:
    """The hashes that a file of this module holds; None without the file.

    Raises:
        Refused: it is damaged.
    """
    try:
        return _HASHES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise Refused(f"{path}: is damaged; delete it, or bring it back") from None


def write(path: Path, hashes: Mapping[str, str]) -> None:
    """Replaces the file in one move."""
    text = json.dumps(hashes, indent=1) + "\n"
    whole.write_file(path, lambda file: file.write(text.encode()))


def files_of(kept: Path) -> dict[str, str]:
    """The hashes of all that a kept stage holds, by the files' places in it."""
    told = {kept / FILES, kept / MADE_BY}
    paths = [path for path in sorted(kept.rglob("*")) if path.is_file() and path not in told]
    return {str(path.relative_to(kept)): file_hash(path) for path in paths}


def take_earlier(recipe: AnyRecipe) -> list[str]:
    """Takes the stages that a recipe begins with, where none has begun here and they were kept.

    Returns:
        The names of those that were taken.

    Raises:
        Refused: a kept stage names a published model that is not there as it was.
    """
    missing = [
        model.parent.name
        for model in recipe.earlier().values()
        if not model.is_dir() and not (model.parent / LOCK).exists()
    ]
    there = recipes_in(RECIPES) if missing else {}
    return [name for name in missing if name in there and take(there, name, KEPT)]


def take(there: Mapping[str, Path], name: str, kept: Path) -> bool:
    """Puts a kept stage where its run would have left it; False where it is of other recipes.

    Args:
        there: the recipes of the chain.

    Raises:
        Refused: it names a published model that is missing or another; nothing is changed.
    """
    made_by = recipes_before(there, name)
    if read(kept / name / MADE_BY) != made_by:
        return False
    mark = RUNS / name / DONE
    with _one_taker():
        if read(mark) != made_by or not (RUNS / name / "model").is_dir():
            _copy(kept / name, RUNS / name)
            write(mark, made_by)
    return True


@contextmanager
def _one_taker() -> Iterator[None]:
    """Of two runs that start together and begin with the same stage, one takes it for both."""
    RUNS.mkdir(parents=True, exist_ok=True)
    with (RUNS / _TAKING).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy(kept: Path, into: Path) -> None:
    """Its model last."""
    _verify(kept, kept / FILES)
    model = sorted((kept / "model").glob("*"))
    if published := read(kept / MODEL):
        _verify(Path(), kept / MODEL)
        model = [Path(name) for name in published]
    shutil.copytree(kept, into, ignore=shutil.ignore_patterns("model"), dirs_exist_ok=True)

    def fill(folder: Path) -> None:
        for path in model:
            shutil.copy2(path, folder)

    whole.write_folder(into / "model", fill)


def _verify(folder: Path, told: Path) -> None:
    """Compares files with the hashes that `told` has of them.

    Raises:
        Refused: one is missing or another.
    """
    again = "bring it back, or run `python -m training.starter --anew`"
    for name, sha256 in (read(told) or {}).items():
        if not (folder / name).is_file():
            raise Refused(f"{told}: there is no {folder / name}; {again}")
        if file_hash(folder / name) != sha256:
            raise Refused(f"{told}: {folder / name} has another sha256; {again}")
