"""`docs/profile.md` has a row for every field of a profile, with its default, and no other row."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from colloquy import profile
from gateway.settings import Knobs, TenantQuota
from services.generator.settings import Tuning
from services.indexer.settings import Tuning as IndexerTuning
from services.reranker.settings import Tuning as RerankerTuning
from services.retriever.settings import Encoding
from services.retriever.settings import Tuning as RetrieverTuning
from services.retriever.sparse import Bm25Settings
from services.retriever.vector_store_edge import EdgeTuning
from services.retriever.vector_store_tuning import ServerTuning
from services.retriever.vector_stores import StoreSettings

PAGE = Path(__file__).parents[2] / "docs" / "profile.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "The stack": profile.Profile,
    "`engines.<name>` with `runtime: vllm`": profile.VllmEngine,
    "`engines.<name>` with `runtime: openai`": profile.OpenAIEngine,
    "`engines.<name>.capabilities`": profile.Capabilities,
    "`tasks.<name>`": profile.Task,
    "`spaces.<name>` with `kind: open_clip`": profile.ClipSpace,
    "`spaces.<name>` with `kind: task`": profile.TaskSpace,
    "`media`": profile.Media,
    "`media.fetch`": profile.Fetch,
    "`endpoints.<service>`": profile.Endpoint,
    "`gateway`": Knobs,
    "`gateway.tenant`": TenantQuota,
    "`generator`": Tuning,
    "`retriever`": RetrieverTuning,
    "`retriever.store`": StoreSettings,
    "`retriever.store.edge`": EdgeTuning,
    "`retriever.store.server`": ServerTuning,
    "`retriever.encoding`": Encoding,
    "`retriever.bm25`": Bm25Settings,
    "`reranker`": RerankerTuning,
    "`indexer`": IndexerTuning,
}
ROW = re.compile(r"^\| `(?P<name>[a-z_0-9]+)` \| (?P<default>[^|]+) \| (?P<about>.+) \|$")


def _documented() -> dict[str, dict[str, tuple[str, str]]]:
    found: dict[str, dict[str, tuple[str, str]]] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif row := ROW.match(line):
            found.setdefault(heading, {})[row["name"]] = (row["default"], row["about"])
    return found


def shown_default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    numbers = "float" in str(field.annotation)
    if isinstance(value, BaseModel) or (value == {} and not numbers):  # sections of their own
        return "see below"
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, list):
        value = [str(item) for item in value]
    return f"`{json.dumps(value)}`"


def _fields() -> Iterator[tuple[str, str, Any]]:
    for heading, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            yield heading, name, field


@pytest.mark.parametrize("heading", SECTIONS)
def test_each_section_has_exactly_its_fields(heading: str) -> None:
    assert list(_documented().get(heading, {})) == list(SECTIONS[heading].model_fields)


def test_each_default_is_the_one_in_the_code() -> None:
    page = _documented()
    wrong = [
        f"{heading} {name}: {page[heading][name][0]} is {shown_default(field)}"
        for heading, name, field in _fields()
        if page.get(heading, {}).get(name, ("",))[0] != shown_default(field)
    ]
    assert not wrong


def test_each_field_is_explained() -> None:
    for heading, rows in _documented().items():
        for name, (_, about) in rows.items():
            assert len(about) > 8, f"{heading} {name}"


def test_no_section_of_the_profile_is_left_out() -> None:
    models = {
        model
        for model in vars(profile).values()
        if isinstance(model, type) and issubclass(model, profile.Section)
    }
    assert models - {profile.Section, profile.Secrets} <= set(SECTIONS.values())
