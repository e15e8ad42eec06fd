"""The behaviour every contract shares."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Immutable, and strict about names: a misspelt field is an error, never a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
