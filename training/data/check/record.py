"""What the records of all formats share."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

IMAGE = "<image>"


class Record(BaseModel):
    """Types as JSON has them, nothing converted; further fields are the owner's."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _path(value: Any) -> Any:
    """ms-swift writes a path, and what it has inferred as `{"bytes": null, "path": "…"}`."""
    return value["path"] if isinstance(value, dict) and "path" in value else value


def _number_or_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


Listed = Annotated[list[str], BeforeValidator(_listed)]
Picture = Annotated[str, BeforeValidator(_path)]
Id = Annotated[str, BeforeValidator(_number_or_text)]


def images_for(places: int, images: int) -> str:
    return f"{places} {IMAGE} for {images} image{'' if images == 1 else 's'}"
