"""What is not there: told once, with the place of the request that named it.

The services behind know names but not where the caller wrote them, so here their 404s get a place.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from colloquy.contracts.contract import Contract
from colloquy.contracts.indexing import AppendTurns, DialogueRef, JobRef
from colloquy.media.failures import at_place
from colloquy.servicekit.problems import CollectionMissing, NotFound, ServiceError

_NO_COLLECTION = "names no collection of this tenant"
_NO_DIALOGUE = "names no dialogue of this collection"
_NO_JOB = "names no job of this tenant"


@contextmanager
def collection_named_at(at: str) -> Iterator[None]:
    """For a collection that the request named at `at`."""
    try:
        yield
    except CollectionMissing:
        raise at_place(CollectionMissing, at, _NO_COLLECTION) from None


@contextmanager
def named_in_path(asked: Contract) -> Iterator[None]:
    """For what `asked` refers to, which the request's path named."""
    try:
        with collection_named_at("path/name"):
            yield
    except NotFound as error:
        raise _in_path(asked, error) from None


def _in_path(asked: Contract, error: NotFound) -> ServiceError:
    if type(error) is not NotFound:  # a picture, for example, which has its own place
        return error
    if isinstance(asked, JobRef):
        return at_place(NotFound, "path/id", _NO_JOB)
    if isinstance(asked, DialogueRef | AppendTurns):
        return at_place(NotFound, "path/id", _NO_DIALOGUE)
    return error
