"""The items of an ingestion, read as the gateway reads them: a wrong one is named by its place."""

import json
from typing import Any

from pydantic import ValidationError

from colloquy.contracts.collections import ItemError
from colloquy.contracts.content import Dialogue

NDJSON = "application/x-ndjson"


class Refused(Exception):
    """Becomes a problem."""

    def __init__(
        self, status: int, slug: str, title: str, detail: str, faults: list[Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.slug, self.title, self.detail = status, slug, title, detail
        self.faults = faults or []


def read_items(body: bytes, media_type: str) -> tuple[list[Dialogue], list[ItemError]]:
    if media_type == NDJSON:
        texts = [line for line in body.decode().split("\n") if line.strip()]
    elif media_type == "application/json":
        values = json.loads(body)
        if not isinstance(values, list):
            raise Refused(422, "invalid-request", "The request is not valid", "A list is expected.")
        texts = [json.dumps(value) for value in values]
    else:
        raise Refused(415, "unsupported-media", "Not a form that is read", media_type)
    good, errors = [], []
    for item, text in enumerate(texts):
        try:
            good.append(Dialogue.model_validate_json(text))
        except ValidationError as error:
            first = error.errors()[0]
            at = "/".join(str(step) for step in first["loc"] if step != "parts")
            line = item + 1
            name = _id_in(text)
            errors.append(
                ItemError(item=item, line=line, dialogue_id=name, at=at, why=first["msg"])
            )
    return good, errors


def _id_in(text: str) -> str | None:
    try:
        return str(json.loads(text)["id"])
    except (ValueError, KeyError, TypeError):
        return None
