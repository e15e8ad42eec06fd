"""What this machine's processors can do."""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_LISTS = ("flags", "Features")  # x86's and ARM's
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def has_bfloat16() -> bool:
    """Whether it multiplies bfloat16 by itself; True where the system does not tell."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    told = [line.partition(":")[2].split() for line in lines if line.startswith(_LISTS)]
    return not told or not _BFLOAT16.isdisjoint(told[0])
