"""Finds a recipe and reads it; what is wrong with it is one line with the file and the field."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from colloquy.servicekit.faults import faults_of
from training.ending import Refused
from training.recipe import ADAPTER, AnyRecipe

RECIPES = Path(__file__).parent / "recipes"
_MAX_BYTES = 1_000_000
_SHOWN = 5
_MERGE = "tag:yaml.org,2002:merge"


def find(name: str) -> Path:
    """The file that `name` is, or the recipe of the repository that is called so.

    Raises:
        Refused: there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    named = RECIPES / f"{name}.yaml"
    if not path.is_absolute() and ".." not in path.parts and named.is_file():
        return named
    if path.is_dir():
        raise Refused(f"{name}: is a folder; name one of its recipes")
    if path.suffix in {".yaml", ".yml"}:
        raise Refused(f"{name}: there is no such file")
    known = sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))
    raise Refused(f"{name}: there is no such file and no recipe called so; {', '.join(known)} are")


def load(path: Path) -> AnyRecipe:
    """Reads and checks a recipe.

    Raises:
        Refused: it cannot be read, or a field is wrong.
    """
    content = _content(path)
    if not isinstance(content, Mapping):
        raise Refused(f"{path}: is not a YAML mapping of a recipe's fields")
    try:
        return ADAPTER.validate_python(content)
    except ValidationError as error:
        faults = [_fault(finding, content) for finding in error.errors()]
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise Refused(f"{path}: {'; '.join(faults[:_SHOWN])}{more}") from None


def require_earlier(recipe: AnyRecipe, path: Path) -> None:
    """Sees that the runs this one begins with have ended.

    Raises:
        Refused: one has not; the message names its recipe.
    """
    for field, folder in recipe.earlier().items():
        if not folder.is_dir():
            name = folder.parent.name
            first = _recipe_of(name, path.parent)
            hint = f"; first `colloquy train {first}`" if first else ""
            raise Refused(
                f"{path}: {field}: the run {name} has not ended, {folder} is missing{hint}"
            )


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a key stands once; PyYAML alone takes the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                raise yaml.MarkedYAMLError(
                    problem="a key is one word; `<<` is not known", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _content(path: Path) -> object:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise Refused(f"{path}: is too large for a recipe")
        return yaml.load(text.decode("utf-8"), _OnceLoader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise Refused(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise Refused(f"{path}: {line}{error.problem or 'is not YAML'}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise Refused(f"{path}: is not YAML") from None


def _fault(finding: Any, content: Mapping[str, Any]) -> str:
    """`optimiser.lr: is not a field here; the fields are …`."""
    location = tuple(finding["loc"])
    if finding["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return f"kind: must be one of {', '.join(_kinds())}"
    # The first step is the union's choice of a class, not a field.
    (fault,) = faults_of([{**finding, "loc": location[1:]}], content)
    at = ".".join(map(str, location[1:]))
    if finding["type"] == "extra_forbidden":
        known = ", ".join(_fields(str(location[0]), location[1:-1]))
        return f"{at}: {fault.why}; the fields are {known}"
    return f"{at}: {fault.why}" if at else fault.why


def _kinds() -> dict[str, type[BaseModel]]:
    return {get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(AnyRecipe)}


def _fields(kind: str, sections: tuple[Any, ...]) -> list[str]:
    model: Any = _kinds()[kind]
    for name in sections:
        model = model.model_fields[name].annotation
    return sorted(model.model_fields)


def _recipe_of(name: str, beside: Path) -> str | None:
    """How to call the recipe whose run has this name: a neighbour's file, or one of ours."""
    for folder, pattern in ((beside, "*.yaml"), (RECIPES, "**/*.yaml")):
        for path in sorted(folder.glob(pattern)):
            try:
                content = _content(path)
            except Refused:
                continue
            if isinstance(content, Mapping) and content.get("name") == name:
                if path.is_relative_to(RECIPES):
                    return str(path.relative_to(RECIPES).with_suffix(""))
                return str(path)
    return None
