"""What the documents name exists, and what exists is documented."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

# Each of the three defines problems.
import colloquy.media.failures  # noqa: F401
import gateway.problems  # noqa: F401
import services.generator.domain  # noqa: F401
from colloquy.servicekit.metrics import ServiceMetrics
from colloquy.servicekit.problems import ServiceError
from gateway.metrics import Metrics as GatewayMetrics
from services.generator.metrics import Metrics as GeneratorMetrics
from services.indexer.metrics import Metrics as IndexerMetrics
from services.reranker.metrics import Metrics as RerankerMetrics
from services.retriever.metrics import Metrics as RetrieverMetrics

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "DEVELOPERS.md", *sorted((ROOT / "docs").rglob("*.md"))]
SERVICES: dict[str, Callable[[CollectorRegistry], object]] = {
    "gateway": GatewayMetrics,
    "generator": GeneratorMetrics,
    "retriever": RetrieverMetrics,
    "reranker": RerankerMetrics,
    "indexer": IndexerMetrics,
}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def _links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), link
        assert not anchor or anchor in _anchors(place), link


def test_every_command_of_make_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        code = re.findall(r"`make ([a-z0-9 -]+)`", page.read_text(encoding="utf-8"))
        assert {word for words in code for word in words.split()} <= targets, page


def test_every_metric_is_listed() -> None:
    """By its name; what several services measure once, as `*_…`."""
    measured: dict[str, set[str]] = {}
    for service, own in SERVICES.items():
        registry = CollectorRegistry()
        ServiceMetrics(registry, service)
        own(registry)
        for family in registry.collect():
            measured.setdefault(family.name.removeprefix(f"{service}_"), set()).add(family.name)
    names = {f"*_{rest}" if len(of) > 1 else min(of) for rest, of in measured.items()}
    kinds = "|".join((*SERVICES, "media", r"\*"))
    rows = "\n".join(re.findall(r"^\| `.*", OPERATIONS, re.MULTILINE))
    assert names == set(re.findall(rf"`((?:{kinds})_\w+)`", rows))


def test_problems_that_are_named_exist() -> None:
    known = {kind.slug for kind in _problems(ServiceError)}
    cells = re.findall(r"^\| .*? \|$", OPERATIONS, re.MULTILINE)
    named = {slug for row in cells for slug in re.findall(r"\b[45]\d\d `([a-z-]+)`", row)}
    assert len(named) > 10
    assert named <= known


def _problems(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _problems(narrower)
