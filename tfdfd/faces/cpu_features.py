"""What this machine's CPU computes fast."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


@cache
def has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 in hardware: False where Linux does not say so.

    Elsewhere oneDNN emulates it, slower than float32.
    """
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags
