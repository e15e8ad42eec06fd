"""What a route is given: who calls, and what the lifespan opened."""

from typing import Annotated, cast

from fastapi import Depends, Request

from gateway.admission import Admission, Caller
from gateway.health import Health
from gateway.indexer import Indexer
from gateway.models import Models
from gateway.pictures import Pictures
from gateway.pipelines.corpus import Corpus
from gateway.pipelines.embeddings import Embeddings
from gateway.pipelines.fragments import Fragments
from gateway.pipelines.ingestion import Ingestion
from gateway.pipelines.reranking import Reranking
from gateway.problems import ScopeMissing, Unsupported
from gateway.settings import Settings

# Coroutines although they wait for nothing: others would each cost a trip to a thread.


async def _tenant(request: Request) -> str:
    caller: Caller = request.state.caller
    if caller.tenant is None:
        raise ScopeMissing("an operator's key has no dialogues and pictures; use a tenant's")
    return caller.tenant


async def _settings(request: Request) -> Settings:
    return cast(Settings, request.state.settings)


async def _admission(request: Request) -> Admission:
    return cast(Admission, request.state.admission)


async def _fragments(request: Request) -> Fragments:
    return cast(Fragments, request.state.fragments)


async def _pictures(request: Request) -> Pictures:
    return cast(Pictures, request.state.pictures)


async def _models(request: Request) -> Models:
    return cast(Models, request.state.models)


async def _corpus(request: Request) -> Corpus:
    return cast(Corpus, request.state.corpus)


async def _indexer(request: Request) -> Indexer:
    indexer: Indexer | None = request.state.indexer
    if indexer is None:
        raise Unsupported("this installation has no collections")
    return indexer


async def _ingestion(request: Request) -> Ingestion:
    await _indexer(request)
    return cast(Ingestion, request.state.ingestion)


async def _embeddings(request: Request) -> Embeddings:
    return cast(Embeddings, request.state.embeddings)


async def _reranking(request: Request) -> Reranking:
    return cast(Reranking, request.state.reranking)


async def _health(request: Request) -> Health:
    return cast(Health, request.state.health)


GivenTenant = Annotated[str, Depends(_tenant)]
GivenSettings = Annotated[Settings, Depends(_settings)]
GivenAdmission = Annotated[Admission, Depends(_admission)]
GivenFragments = Annotated[Fragments, Depends(_fragments)]
GivenPictures = Annotated[Pictures, Depends(_pictures)]
GivenModels = Annotated[Models, Depends(_models)]
GivenCorpus = Annotated[Corpus, Depends(_corpus)]
GivenIndexer = Annotated[Indexer, Depends(_indexer)]
GivenIngestion = Annotated[Ingestion, Depends(_ingestion)]
GivenEmbeddings = Annotated[Embeddings, Depends(_embeddings)]
GivenReranking = Annotated[Reranking, Depends(_reranking)]
GivenHealth = Annotated[Health, Depends(_health)]
