"""Parameters of each kind at three strengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from microservo.domain.faults.base import Fault
from microservo.domain.faults.catalogue import KINDS

Strength = Literal["weak", "default", "strong"]
STRENGTHS: tuple[Strength, ...] = ("weak", "default", "strong")

_WEAK: Mapping[str, Mapping[str, str]] = {
    "app-exception": {"ratio": "1%"},
    "connection-reset": {"ratio": "1%"},
    "cpu-hog": {"workers": "1", "load": "1%"},
    "http-abort": {"ratio": "1%"},
    "http-delay": {"delay": "1ms"},
    "memory-hog": {"size": "1MiB"},
    "network-bandwidth": {"rate": "1Gbit/s"},
    "network-delay": {"latency": "1ms"},
    "network-loss": {"ratio": "0.1%"},
}
_STRONG: Mapping[str, Mapping[str, str]] = {
    "app-exception": {"ratio": "100%"},
    "connection-reset": {"ratio": "100%"},
    "http-abort": {"ratio": "100%"},
    "http-delay": {"delay": "1s"},
    "memory-hog": {"size": "512MiB"},
    "network-bandwidth": {"rate": "8kbit/s"},
    "network-delay": {"latency": "1s", "jitter": "100ms"},
    "network-loss": {"ratio": "60%"},
}


def parameters(kind: str, strength: Strength) -> Mapping[str, str]:
    """The parameters as people write them; kinds without any have but one strength."""
    if strength == "weak":
        return _WEAK.get(kind, {})
    # What a campaign injects is the default: clear at a few requests per second.
    return KINDS[kind].strong if strength == "default" else _STRONG.get(kind, KINDS[kind].strong)


def strengths_of(kind: str) -> tuple[Strength, ...]:
    """The strengths at which a kind differs."""
    found: dict[str, Strength] = {}
    for strength in ("default", "weak", "strong"):
        found.setdefault(repr(sorted(fault_of(kind, strength).canonical().items())), strength)
    return tuple(each for each in STRENGTHS if each in found.values())


def fault_of(kind: str, strength: Strength) -> Fault:
    """The fault itself."""
    return KINDS[kind].from_text(parameters(kind, strength))
