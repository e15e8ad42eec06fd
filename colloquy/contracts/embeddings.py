"""`/v1/embeddings`, `/v1/rerank`: other people's dialects. Unknown fields are ignored there."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from colloquy.contracts.contract import Contract


class Dialect(BaseModel):
    """A request in somebody else's form: what we do not know is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class EmbeddingsRequest(Dialect):
    """OpenAI's form, with pictures as OpenAI parts, vLLM's `messages`, Jina's `{"image": …}` and
    `data:` URL strings."""

    model: str | None = Field(default=None, description="A space, its version, or null: the first.")
    input: Any = Field(default=None, description="A string, a list of strings or of contents.")
    messages: list[dict[str, Any]] | None = Field(default=None, description="vLLM's: one content.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, description="Only the model's own is accepted.")
    input_type: Literal["query", "document", "search_query", "search_document"] | None = Field(
        default=None, description="Cohere's: a query gets the model's instruction."
    )
    task: str | None = Field(default=None, description="Jina's: `retrieval.query` is a query.")
    user: str | None = None


class EmbeddingObject(Contract):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Contract):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Contract):
    object: Literal["list"] = "list"
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage
    models: dict[str, str]
    request_id: str


class RerankRequest(Dialect):
    """Jina's and Cohere's form; query and documents may be strings, `{"text": …}`,
    `{"image": …}` or lists of OpenAI parts."""

    model: str | None = None
    query: Any
    documents: list[Any] = Field(min_length=1, max_length=1_000)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False
    mode: Literal["pointwise", "listwise"] = Field(default="pointwise", description="Ours.")
    instruction: str | None = Field(
        default=None,
        max_length=1_024,
        description="What is looked for; null takes the reranker's own, an empty one none. Ours.",
    )
    timeout_ms: int | None = Field(default=None, ge=1)


class RerankResult(Contract):
    index: int
    relevance_score: float
    document: Any | None = None


class RerankResponse(Contract):
    """Jina's form; Cohere's adds `id` and `meta`, which its clients read."""

    id: str
    results: list[RerankResult]
    model: str
    usage: EmbeddingUsage
    meta: dict[str, Any]
    models: dict[str, str]
    degraded: list[str]
    request_id: str
