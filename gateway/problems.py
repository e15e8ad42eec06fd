"""The failures that only the public door knows."""

from colloquy.servicekit.problems import (
    CollectionMissing,
    Forbidden,
    NotFound,
    ServiceError,
    TooLarge,
)

__all__ = [
    "CollectionMissing",
    "DialogueTooLong",
    "HostRefused",
    "ModelMissing",
    "OriginRefused",
    "ScopeMissing",
    "Unsupported",
]


class HostRefused(Forbidden):
    slug, title = "host-refused", "Without keys only this machine is served, by its own name"


class OriginRefused(Forbidden):
    slug, title = "origin-refused", "Without keys only the gateway's own page is served"


class ScopeMissing(Forbidden):
    slug, title = "scope-missing", "The key does not have the scope that this needs"


class ModelMissing(NotFound):
    slug, title = "model-missing", "There is no such model"


class DialogueTooLong(TooLarge):
    slug, title = "dialogue-too-long", "The dialogue has too many turns"


class Unsupported(ServiceError):
    status, slug, title = 422, "unsupported", "This combination is not supported"
