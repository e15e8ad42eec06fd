"""Which vector store a retriever has, and opening it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from colloquy.sections import Section, Url
from services.retriever.vector_store import VectorStore
from services.retriever.vector_store_calls import connect
from services.retriever.vector_store_edge import EdgeStore, EdgeTuning
from services.retriever.vector_store_server import ServerStore
from services.retriever.vector_store_tuning import ServerTuning


class StoreSettings(Section):
    """`store:` of the retriever."""

    kind: Literal["edge", "server"] = Field(
        default="edge", description="Qdrant Edge on this machine's disk, or a Qdrant server."
    )
    edge: EdgeTuning = EdgeTuning()
    url: Url | None = Field(default=None, description="Of the server, `http://host:6333`.")
    api_key_secret: str | None = Field(
        default=None, description="Name of the environment variable that holds the server's key."
    )
    server: ServerTuning = ServerTuning()

    @model_validator(mode="after")
    def a_server_has_an_address(self) -> Self:
        if (self.kind == "server") != (self.url is not None):
            raise ValueError("`url` belongs to a store of kind `server`, which needs one")
        return self


@asynccontextmanager
async def open_store(
    settings: StoreSettings, state_dir: Path, *, api_key: SecretStr | None = None
) -> AsyncIterator[VectorStore]:
    """The store that `settings` name, until the end of the block.

    Args:
        state_dir: the stack's; the embedded store has a folder in it.
        api_key: what the variable `api_key_secret` holds.

    Raises:
        ValueError: the server needs a key, and there is none.
        TimeoutError: another retriever has the folder.
    """
    if settings.kind == "edge":
        async with EdgeStore(state_dir / settings.edge.folder, settings.edge) as store:
            yield store
        return
    if settings.api_key_secret is not None and api_key is None:
        raise ValueError("the vector store's server needs a key")
    assert settings.url is not None
    client = connect(settings.url, api_key)
    try:
        yield ServerStore(client, settings.server)
    finally:
        await client.close()
