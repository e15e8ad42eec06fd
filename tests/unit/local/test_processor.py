"""What engines compute in, by what the processor has instructions for."""

from pathlib import Path

import pytest
import torch

from colloquy.local import processor
from colloquy.local.checks.machine import check_memory, check_processor
from colloquy.local.engine_command import dtype_of
from tests.unit.local.test_engine_command import engine_of, profile_of

GENOA = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 sha_ni\n"
ROME = "processor\t: 0\nflags\t\t: fpu avx2 sha_ni\n\nprocessor\t: 1\nflags\t\t: fpu avx2\n"
GRAVITON_3 = "processor\t: 0\nFeatures\t: fp asimd sve bf16 i8mm\n"
GRAVITON_2 = "processor\t: 0\nFeatures\t: fp asimd\n"


@pytest.mark.parametrize(
    ("told", "has"),
    [
        *((GENOA, True), (ROME, False), (GRAVITON_3, True), (GRAVITON_2, False)),
        ("flags\t: avx512f amx_bf16 amx_tile\n", True),
        ("nothing of the kind\n", True),
        (None, True),
    ],
)
def test_what_a_processor_has_is_read_from_what_the_system_tells(
    told: str | None, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if told is not None:
        file.write_text(told)
    monkeypatch.setattr(processor, "_CPUINFO", file)
    assert processor.has_bfloat16() is has


def test_torch_sees_the_same_processor() -> None:
    can = torch.cpu.get_capabilities()
    native = any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert processor.has_bfloat16() is native


@pytest.mark.parametrize(
    ("engine", "native", "computes_in"),
    [
        ({}, True, "bfloat16"),
        ({}, False, "float32"),
        ({"device": "cuda"}, False, "bfloat16"),
        ({"dtype": "bfloat16"}, False, "bfloat16"),
        ({"dtype": "float32"}, True, "float32"),
        ({"dtype": "auto"}, False, "auto"),
    ],
)
def test_what_is_left_open_is_what_the_processor_has(
    engine: dict[str, str],
    native: bool,
    computes_in: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "has_bfloat16", lambda: native)
    assert dtype_of(engine_of(profile_of(tmp_path, **engine))) == computes_in


def test_doctor_tells_what_is_emulated_and_counts_wide_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(4_000_000_000)
    left_open = profile_of(tmp_path, model="models/mine")
    told_to = profile_of(tmp_path, model="models/mine", dtype="bfloat16")

    monkeypatch.setattr(processor, "has_bfloat16", lambda: True)
    assert list(check_processor(told_to)) == []
    narrow = next(check_memory(left_open)).detail
    monkeypatch.setattr(processor, "has_bfloat16", lambda: False)
    assert [(f.about, f.verdict) for f in check_processor(left_open)] == [("processor", "ok")]
    assert [f.about for f in check_processor(told_to)] == ["processor", "engine one"]
    wide = next(check_memory(left_open)).detail
    gigabytes = [float(detail.split(" ")[0]) for detail in (narrow, wide)]
    assert gigabytes[1] - gigabytes[0] == pytest.approx(4.0, abs=0.11)
