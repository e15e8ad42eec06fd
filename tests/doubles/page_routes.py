"""The routes about collections, over a corpus in memory."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.doubles.page_corpus import CorpusDouble
from tests.doubles.page_items import Refused
from tests.doubles.page_replies import Reply, Stream, problem, reply_of


def is_over_collections(method: str, target: str, body: bytes) -> bool:
    """Whether a request is answered by `answer_of`."""
    path = urlsplit(target).path
    if (method, path) == ("POST", "/v1/fragments/search"):
        return "collection" in json.loads(body)
    return path.split("/")[1:3] in (["v1", "collections"], ["v1", "jobs"], ["v1", "images"])


def answer_of(
    corpus: CorpusDouble, method: str, target: str, body: bytes, headers: Any
) -> Reply | Stream:
    parts = urlsplit(target)
    steps = [unquote(step) for step in parts.path.strip("/").split("/")][1:]
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    try:
        return _answer(corpus, method, steps, given, body, headers)
    except Refused as refused:
        return problem(
            refused.status, refused.slug, refused.title, refused.detail, faults=refused.faults
        )


def _answer(
    corpus: CorpusDouble,
    method: str,
    steps: list[str],
    given: dict[str, str],
    body: bytes,
    headers: Any,
) -> Reply | Stream:
    page = (int(given.get("limit", "20")), given.get("cursor"))
    match (method, *steps):
        case ("POST", "fragments", "search"):
            return reply_of(corpus.search(json.loads(body)))
        case ("GET", "images", ref):
            return Reply(base64.b64decode(corpus.blobs[ref].split(",")[1]))
        case ("GET", "collections"):
            return reply_of(corpus.listed(*page))
        case ("PUT", "collections", name):
            return reply_of(corpus.put(name, json.loads(body)))
        case ("GET", "collections", name):
            return reply_of(corpus.get(name))
        case ("DELETE", "collections", name):
            corpus.drop(name)
            return Reply(None, 204)
        case ("POST", "collections", name, "dialogues"):
            key = headers.get("idempotency-key")
            return reply_of(corpus.ingest(name, body, headers.get("content-type"), key), 202)
        case ("GET", "collections", name, "dialogues"):
            return reply_of(corpus.dialogues(name, *page))
        case ("GET", "collections", name, "dialogues", one):
            return reply_of(corpus.dialogue(name, one))
        case ("DELETE", "collections", name, "dialogues", one):
            corpus.delete(name, one)
            return Reply(None, 204)
        case ("GET", "jobs"):
            return reply_of(corpus.jobs(given.get("collection")))
        case ("GET", "jobs", job):
            return reply_of(corpus.job(job))
        case ("DELETE", "jobs", job):
            return reply_of(corpus.cancel(job))
        case ("GET", "jobs", job, "events"):
            corpus.job(job)
            return Stream(corpus.events(job))
    raise Refused(404, "not-found", "Not found", "There is nothing here.")
