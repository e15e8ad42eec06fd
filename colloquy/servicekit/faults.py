"""From the validator's findings to faults: the place and the reason, never what was sent."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic_core.core_schema import ErrorType

from colloquy.contracts.problem import Fault

_MAX_FINDINGS = 200
_MAX_FAULTS = 20
_MAX_NAME_CHARACTERS = 64
_MAX_PATH_CHARACTERS = 256
_MAX_REASON_CHARACTERS = 300

# Our own words: the library's can hold the input. `{…}` are facts of the schema, not of the input.
_REASONS = {
    "missing": "is required",
    "extra_forbidden": "is not a field here",
    "string_type": "must be a string",
    "string_unicode": "is not valid Unicode text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must have the form {pattern}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "none_required": "must be null",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "union_tag_not_found": "needs {discriminator}",
    "union_tag_invalid": "needs {discriminator} to be one of {expected_tags}",
}
_LIBRARY_KINDS = frozenset(get_args(ErrorType))
_TYPE_SUFFIX = "_type"


def faults_of(findings: Sequence[Mapping[str, Any]], body: object) -> list[Fault]:
    """Turns a validator's findings about `body` into at most 20 faults.

    A union reports one finding for each of its forms; those that only say "not this form" are
    dropped where another form got further, and the rest of one place become one fault.
    """
    placed: dict[str, list[str]] = {}
    weak: set[str] = set()
    for finding in findings[:_MAX_FINDINGS]:
        at = _place(tuple(finding["loc"]), str(finding["type"]), body)
        placed.setdefault(at, [])
        if (why := _reason(finding)) not in placed[at]:
            placed[at].append(why)
        if str(finding["type"]).endswith(_TYPE_SUFFIX):
            weak.add(at)
    return [
        Fault(at=at, why=", or ".join(reasons)[:_MAX_REASON_CHARACTERS])
        for at, reasons in placed.items()
        if not (at in weak and any(other.startswith(at + "/") for other in placed))
    ][:_MAX_FAULTS]


def _place(location: tuple[int | str, ...], kind: str, body: object) -> str:
    """The path as the caller wrote it: the validator's own labels for a union's forms drop out."""
    if not location:
        return "body"
    kept = [str(location[0])]
    value = body
    inside = location[0] == "body"
    for position, name in enumerate(location[1:], start=1):
        if not inside:
            kept.append(str(name))
        elif _holds(value, name):
            value = value[name]  # type: ignore[index]
            kept.append(str(name))
        elif kind == "missing" and position == len(location) - 1:
            kept.append(str(name))
    path = "/".join(_printable(name) for name in kept)
    return path[:_MAX_PATH_CHARACTERS]


def _holds(value: object, name: int | str) -> bool:
    if isinstance(value, dict):
        return name in value
    return isinstance(value, list) and isinstance(name, int) and 0 <= name < len(value)


def _printable(name: str) -> str:
    short = name[:_MAX_NAME_CHARACTERS]
    return "".join(c if c.isprintable() else "?" for c in short)


def _reason(finding: Mapping[str, Any]) -> str:
    kind = str(finding["type"])
    context = finding.get("ctx") or {}
    if kind in {"value_error", "assertion_error"}:
        # Raised by a contract's own validator, so in our words already.
        return str(context.get("error", "is not valid"))[:_MAX_REASON_CHARACTERS]
    if kind.startswith(("datetime", "timezone", "date_")):
        return "must be a date and time like 2026-03-01T10:00:00Z"
    if kind not in _LIBRARY_KINDS:
        # A contract's own kind of finding, in our words too.
        return str(finding.get("msg", "is not valid"))[:_MAX_REASON_CHARACTERS]
    template = _REASONS.get(kind)
    if template is None:
        return "is not valid"
    try:
        return template.format(**context)
    except (KeyError, IndexError):
        return "is not valid"
