"""An item of an ingestion becomes a dialogue, or an error that names its place. Pure."""

from pydantic import ValidationError

from colloquy.contracts.collections import ItemError
from colloquy.contracts.content import Dialogue
from colloquy.contracts.problem import Fault
from colloquy.servicekit.bodies import parse_json
from colloquy.servicekit.faults import faults_of
from colloquy.servicekit.problems import Malformed, MalformedJson
from gateway.items import RawItem

_DOTS = frozenset({".", ".."})
_LINE_BREAK = "\n"  # the one character that a route's place does not match


def read_all(batch: list[RawItem], ids: set[str]) -> list[Dialogue | ItemError]:
    """The dialogue of each item, or what is wrong with it.

    Args:
        ids: of the items before; it grows by these.
    """
    return [_read(item, ids) for item in batch]


def _read(item: RawItem, ids: set[str]) -> Dialogue | ItemError:
    if item.data is None:
        return item_error(item, None, [], "is larger than a request may be")
    try:
        value = parse_json(item.data)
    except MalformedJson as error:
        return item_error(item, None, [], _in_item(error))
    try:
        dialogue = Dialogue.model_validate(value)
    except ValidationError as error:
        findings = [finding | {"loc": ("body", *finding["loc"])} for finding in error.errors()]
        return item_error(item, _id_in(value), faults_of(findings, value), "is not valid")
    if dialogue.id is None:
        return item_error(item, None, [Fault(at="id", why="is required in a collection")], "")
    if dialogue.id in _DOTS or _LINE_BREAK in dialogue.id:
        why = "cannot be a place in a path, so such a dialogue could not be asked for"
        return item_error(item, dialogue.id, [Fault(at="id", why=why)], "")
    if dialogue.id in ids:
        why = "an item before has this id; a request may bring a dialogue once"
        return item_error(item, dialogue.id, [Fault(at="id", why=why)], "")
    ids.add(dialogue.id)
    return dialogue


def _in_item(error: MalformedJson) -> str:
    """The detail, where its line and column are the item's own."""
    if "column" not in error.facts:
        return error.detail
    line, column = error.facts["line"], error.facts["column"]
    return f"the item is no JSON from its line {line}, column {column} on"


def _id_in(value: object) -> str | None:
    """The id of an item that is wrong, where it has a sound one."""
    given = value.get("id") if isinstance(value, dict) else None
    return given if isinstance(given, str) and 0 < len(given) <= 256 else None


def item_error(
    item: RawItem, dialogue_id: str | None, faults: list[Fault], otherwise: str
) -> ItemError:
    """What is wrong with an item: its first fault, else what is said `otherwise`."""
    at, why = "", otherwise
    if faults:
        at, why = faults[0].at.removeprefix("body").strip("/"), faults[0].why
        why += f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ItemError(item=item.position, line=item.line, dialogue_id=dialogue_id, at=at, why=why)


def nothing_right(errors: list[ItemError]) -> Malformed:
    """The refusal of a body of which no item is right."""
    faults = [
        Fault(at="/".join(filter(None, ["body", str(error.item), error.at])), why=error.why)
        for error in errors
    ]
    return Malformed(
        f"none of the {len(errors)} items can be taken; the first, on line {errors[0].line}: "
        f"{faults[0].at} {faults[0].why}",
        faults=faults,
    )
