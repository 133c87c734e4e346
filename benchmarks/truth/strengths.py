"""Parameters of each kind at three strengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import goes_anywhere
from microservo.platforms.local.mechanisms import kinds_of_local_targets

Strength = Literal["weak", "default", "strong"]
STRENGTHS: tuple[Strength, ...] = ("weak", "default", "strong")

_WEAK: Mapping[str, Mapping[str, str]] = {
    "app-exception": {"ratio": "1%"},
    "bad-deploy": {"latency": "1ms", "ratio": "0.1%"},
    "cache-penetration": {"ratio": "1%"},
    "clock-skew": {"offset": "1ms"},
    "connection-pool-exhaustion": {"ratio": "10%"},
    "connection-reset": {"ratio": "1%"},
    "cpu-hog": {"workers": "1", "load": "1%"},
    "cpu-limit": {"cores": "100%"},
    "db-slow-query": {"database": "shop", "latency": "1ms"},
    "disk-error": {"volume": "/data", "ratio": "0.1%"},
    "disk-full": {"left": "7MiB"},
    "disk-slow": {"volume": "/data", "delay": "1ms"},
    "fd-exhaustion": {"left": "500"},
    "gc-pause": {"pause": "1ms", "interval": "60s"},
    "http-abort": {"ratio": "1%"},
    "http-delay": {"delay": "1ms"},
    "http-truncate": {"ratio": "1%"},
    "lock-contention": {"hold": "1ms"},
    "log-flood": {"lines": "1"},
    "memory-hog": {"size": "1MiB"},
    "memory-leak": {"size": "1KiB", "most": "1MiB"},
    "memory-limit": {"size": "1GiB"},
    "network-bandwidth": {"rate": "1Gbit/s"},
    "network-corrupt": {"ratio": "0.1%"},
    "network-delay": {"latency": "1ms"},
    "network-loss": {"ratio": "0.1%"},
    "network-reorder": {"latency": "1ms"},
    "slow-close": {"delay": "1ms"},
    "thread-leak": {"most": "1"},
    "wrong-answer": {"ratio": "1%"},
}
_STRONG: Mapping[str, Mapping[str, str]] = {
    "app-exception": {"ratio": "100%"},
    "connection-reset": {"ratio": "100%"},
    "http-abort": {"ratio": "100%"},
    "db-slow-query": {"database": "shop", "latency": "2s"},
    "disk-slow": {"volume": "/data", "delay": "1s"},
    "http-delay": {"delay": "1s"},
    "lock-contention": {"hold": "1s"},
    "memory-hog": {"size": "512MiB"},
    "http-truncate": {"ratio": "100%"},
    "network-bandwidth": {"rate": "8kbit/s"},
    "network-corrupt": {"ratio": "60%"},
    "network-delay": {"latency": "1s", "jitter": "100ms"},
    "network-loss": {"ratio": "60%"},
}


def kinds_of_services() -> tuple[str, ...]:
    """The kinds that a local target carries at any service, but what is done to telemetry alone.

    That has no counterpart in a twin: its service does what it does there.
    """
    return tuple(
        kind
        for kind in kinds_of_local_targets()
        if not KINDS[kind].on_telemetry and goes_anywhere(KINDS[kind])
    )


def parameters(kind: str, strength: Strength) -> Mapping[str, str]:
    """The parameters as people write them; kinds without any have but one strength."""
    if strength == "weak":
        return _WEAK.get(kind, KINDS[kind].strong)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A contract, and the kinds at their strengths that declare it: to the observer they are one.

    Attributes:
        kind: one of them, likewise `strength`.
        names: of all of them, e.g. "http-delay default".
    """

    kind: str
    strength: Strength
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """All names in one."""
        return ", ".join(self.names)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that declare it."""
        return frozenset(name.partition(" ")[0] for name in self.names)


def contracts() -> list[Declared]:
    """Every contract of every kind at each of its strengths, once."""
    found: dict[tuple[Contract, bool], list[tuple[str, Strength]]] = {}
    for kind in kinds_of_services():
        for strength in strengths_of(kind):
            # Neighbours are looked at only where the fault acts on what they share.
            contract = (fault_of(kind, strength).contract(), KINDS[kind].acts_on_host)
            found.setdefault(contract, []).append((kind, strength))
    return [
        Declared(kind=each[0][0], strength=each[0][1], names=tuple(" ".join(name) for name in each))
        for each in found.values()
    ]
