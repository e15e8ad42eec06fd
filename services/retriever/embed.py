"""Embedding contents for a caller, and remembering queries."""

import hashlib
from collections import OrderedDict

from colloquy.contracts.retrieval import Embed, Embedded
from colloquy.media.failures import at_place, together
from colloquy.servicekit.problems import Malformed, ServiceError
from services.retriever.encoding import Content, Encoded, Encoder
from services.retriever.metrics import Metrics
from services.retriever.spaces import OpenSpaces


class EmbedContents:
    """The use case."""

    def __init__(self, spaces: OpenSpaces) -> None:
        self._spaces = spaces

    async def __call__(self, body: Embed) -> Embedded:
        """
        Raises:
            NotFound: no space has that name.
            Malformed, BlobMissing, BadImage, TooLarge: an item cannot be embedded; each is named.
        """
        items = [Content(tuple(item.content), item.role == "query") for item in body.items]
        empty = [place for place, item in enumerate(items) if not _shows_anything(item)]
        if empty:
            raise together([_at(place, Malformed("holds nothing to embed")) for place in empty])
        encoder = self._spaces.find(body.space)
        identity = await encoder.identity()
        told = await encoder.encode(body.tenant, items)
        failures = [
            _at(place, one) for place, one in enumerate(told) if isinstance(one, ServiceError)
        ]
        if failures:
            raise together(failures)
        vectors = [one for one in told if isinstance(one, Encoded)]
        return Embedded(
            vectors=[one.vector for one in vectors],
            model=identity.revision,
            tokens=sum(one.tokens for one in vectors),
        )


class QueryVectors:
    """Vectors of queries, the latest ones remembered.

    Args:
        most: entries that are kept, over all tenants and spaces.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._known: OrderedDict[tuple[str, str, bytes], list[float]] = OrderedDict()

    async def of(self, encoder: Encoder, tenant: str, query: Content) -> list[float]:
        """
        Raises:
            BlobMissing, BadImage: of its picture. Unavailable, …: as the encoder.
        """
        identity = await encoder.identity()
        key = (tenant, identity.revision, _digest(query))
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            self._metrics.queries_known.labels(encoder.name).inc()
            return known
        (told,) = await encoder.encode(tenant, [query])
        if isinstance(told, ServiceError):
            raise told
        self._known[key] = told.vector
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return told.vector


def _shows_anything(content: Content) -> bool:
    return bool(content.pictures) or any(text.strip() for text in content.texts)


def _digest(query: Content) -> bytes:
    """A picture's reference names its bytes, so this is a hash of everything that is embedded."""
    digest = hashlib.sha256()
    for part in query.parts:
        digest.update(part.model_dump_json().encode() + b"\0")
    return digest.digest()


def _at(place: int, error: ServiceError) -> ServiceError:
    return at_place(type(error), f"body/items/{place}/content", error.detail or error.title)
