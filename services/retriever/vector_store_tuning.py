"""How collections are made on a Qdrant server."""

from typing import Any, Literal

from pydantic import Field
from qdrant_client import models

from colloquy.contracts.retrieval import BM25
from colloquy.sections import Section
from services.retriever.domain import Schema
from services.retriever.vector_store_points import INDEXED

# Every point of a collection has the same tenant: a graph for it alone would be the graph again.
_NO_GRAPH_OF_ITS_OWN = frozenset({"tenant"})


class ServerTuning(Section):
    """`store.server:` of the retriever; holds for collections that are made from then on."""

    shards: int = Field(default=1, gt=0, description="Of each collection.")
    replicas: int = Field(default=1, gt=0, description="Of each shard.")
    write_to: int = Field(
        default=1, gt=0, description="Replicas that have a write before it is answered."
    )
    on_disk: bool = Field(
        default=False, description="Vectors and graph are read from the disk, for less memory."
    )
    quantisation: Literal["none", "int8", "binary"] = Field(
        default="none", description="Smaller vectors for the search; the true ones order its hits."
    )
    search_ef: int = Field(
        default=128,
        ge=10,
        le=10_000,
        description="Candidates that a search keeps on its way through the graph.",
    )
    graph_links: int = Field(default=16, ge=4, le=128, description="Of each point in the graph.")
    graph_effort: int = Field(
        default=128, ge=16, le=1_024, description="Candidates when a point is put into the graph."
    )
    timeout_s: float = Field(
        default=30.0, gt=0, description="Of a call to the server outside any deadline."
    )


def collection_options(tuning: ServerTuning, schema: Schema) -> dict[str, Any]:
    """What `create_collection` is told for a collection of `schema`."""
    return {
        "vectors_config": {
            space.name: models.VectorParams(
                size=space.dimensions, distance=models.Distance.COSINE, on_disk=tuning.on_disk
            )
            for space in schema.spaces
        },
        "sparse_vectors_config": {
            BM25: models.SparseVectorParams(
                index=models.SparseIndexParams(on_disk=tuning.on_disk),
                modifier=models.Modifier.IDF,
            )
        },
        "hnsw_config": models.HnswConfigDiff(
            m=tuning.graph_links, ef_construct=tuning.graph_effort, on_disk=tuning.on_disk
        ),
        "shard_number": tuning.shards,
        "replication_factor": tuning.replicas,
        "write_consistency_factor": tuning.write_to,
        "quantization_config": _quantisation(tuning),
    }


def index_of() -> dict[str, Any]:
    """The payload index of each field that is asked for."""
    kinds = {
        "float": models.PayloadSchemaType.FLOAT,
        "integer": models.PayloadSchemaType.INTEGER,
    }
    return {
        field: models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD, enable_hnsw=field not in _NO_GRAPH_OF_ITS_OWN
        )
        if kind == "keyword"
        else kinds[kind]
        for field, kind in INDEXED.items()
    }


def _quantisation(
    tuning: ServerTuning,
) -> models.ScalarQuantization | models.BinaryQuantization | None:
    if tuning.quantisation == "int8":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if tuning.quantisation == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None
