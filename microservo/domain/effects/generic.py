"""The contract of a fault that somebody declared, of which only the name is known."""

from __future__ import annotations

from dataclasses import replace

from microservo.domain.faults.base import Contract
from microservo.domain.faults.symptoms import failed, fewer, level, served, slow

_SLOWER = slow(20.0, 0.25)
_FASTER = replace(_SLOWER, direction="down")
_FAILED = failed(0.1)
_FEWER = fewer(1.0)
_MORE = replace(_FEWER, direction="up")

GENERIC = Contract(
    root=(
        served(_SLOWER),
        served(_FASTER),
        served(_FAILED),
        _FEWER,
        _MORE,
        level("process.cpu.utilization", 0.3),
        level("process.cpu.utilization", 0.3, "down"),
        level("process.memory.usage", 64 * 2**20),
        level("process.memory.usage", 64 * 2**20, "down"),
    ),
    callers=(_SLOWER, _FASTER, _FAILED),
    users=(_SLOWER, _FASTER, _FAILED),
    callees=(_FEWER, _MORE),
    neighbours=(served(_SLOWER),),
)
"""Everything that may move, in both directions; each test more makes every single one less sensitive."""
