"""What can be wrong with a picture, each a problem of its own, with the place named."""

from collections.abc import Sequence

from colloquy.contracts.problem import Fault
from colloquy.servicekit.problems import (
    BadImage,
    NotFound,
    Overloaded,
    ServiceError,
    Unavailable,
    UnsupportedMedia,
)


class ImageTooLarge(ServiceError):
    status, slug, title = 413, "image-too-large", "An image is too large"


class TooManyImages(ServiceError):
    status, slug, title = 413, "too-many-images", "The request has too many images"


class UrlNotAllowed(ServiceError):
    status, slug, title = 422, "url-not-allowed", "An image address is not allowed"


class ImageNotFetched(ServiceError):
    status, slug, title = 422, "image-not-fetched", "An image could not be fetched"


class BlobMissing(NotFound):
    status, slug, title = 404, "blob-missing", "An image reference is not known"


class DecodersBusy(Overloaded):
    status, slug, title = 503, "decoders-busy", "Too many images are waiting to be decoded"


class DecodersDown(Unavailable):
    status, slug, title = 503, "decoders-down", "Images cannot be decoded now"


class DecodeKilled(BadImage):
    """The decoder hung, ran out of memory or died of this picture; it was replaced."""


def at_place(error: type[ServiceError], at: str, why: str) -> ServiceError:
    """`error` with one fault, which is its detail too."""
    return error(f"{at}: {why}", faults=[Fault(at=at, why=why)])


def together(errors: Sequence[ServiceError]) -> ServiceError:
    """One failure for many: of the first's kind, with the faults of all."""
    first = errors[0]
    faults = [fault for error in errors for fault in error.faults or []]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return type(first)(first.detail + more, faults=faults)


__all__ = [
    "BadImage",
    "BlobMissing",
    "DecodeKilled",
    "DecodersBusy",
    "DecodersDown",
    "ImageNotFetched",
    "ImageTooLarge",
    "TooManyImages",
    "UnsupportedMedia",
    "UrlNotAllowed",
    "at_place",
    "together",
]
