"""What a window says of what did not come: by the inventory of its service, silence is told from absence.

A service's telemetry alone can't show what is missing. Its inventory (`ServiceInventory`, a fact that lies on
a joined topic) says what it has served, called, logged and pushed before. So a window that an inventory of
its service falls into has, beside what came:

==============================  ========================================================================
``request/<endpoint>/count``    0 where a known endpoint served nothing; likewise ``request/*/count``
``call/<peer>/count``           0 where a known peer was not called; likewise ``call/*/count``
``consume/<queue>/count``       0 where nothing came from a known queue; likewise ``consume/*/count``
``log/severity/<level>``        0 where no line of a known severity came
``telemetry/spans logs points`` how many records the service itself pushed; not what others measured of it
``telemetry/silent``            1 if it pushed nothing of what it usually pushes, else 0
==============================  ========================================================================

Shares and quantiles of nothing are undefined, and left out. A signal that usually comes less than once in a
window is missed only when three of its intervals have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from microservo.domain.features import Features
from microservo.domain.telemetry import Signal
from schemas.records import ServiceInventory

_OVERDUE_INTERVALS = 3
_KEPT_LISTS = 1024


class PushedSignal(NamedTuple):
    """A signal that a service pushes, in microseconds.

    Attributes:
        interval_us: how long it usually is from one of its records to the next.
        newest_us: when the newest of them was made.
    """

    interval_us: int
    newest_us: int


def signals_of(inventory: ServiceInventory) -> Iterator[tuple[str, PushedSignal]]:
    """The signals of an inventory by name."""
    intervals_us, newest_us = (
        np.frombuffer(column, "<i8").tolist() for column in (inventory.interval_us, inventory.newest_us)
    )
    return zip(inventory.signals, map(PushedSignal, intervals_us, newest_us), strict=True)


def packed_signals(signals: Mapping[Signal, PushedSignal]) -> dict[str, Any]:
    """The fields of an inventory that say which signals a service pushes."""
    names = sorted(signals)
    columns = np.array([signals[name] for name in names], "<i8").reshape(-1, 2)
    return {
        "signals": tuple(names),
        "interval_us": columns[:, 0].tobytes(),
        "newest_us": columns[:, 1].tobytes(),
    }


def with_silence(
    features: Features,
    counts: Mapping[Signal, int],
    inventories: Sequence[ServiceInventory],
    size_us: int,
) -> Features:
    """The features of a window with those of what did not come, sorted by name.

    Args:
        features: of what came, sorted by name.
        counts: how many different records came, by signal.
        inventories: those of the service that fall into the window, in any order; none adds nothing.
        size_us: length of the window.
    """
    if not inventories:
        return features
    missing = dict.fromkeys(_known_counts(inventories) - features.keys(), 0.0)
    # What follows sorts behind everything else, so that mostly nothing has to be sorted.
    found = dict(sorted({**features, **missing}.items())) if missing else dict(features)
    pushed = _pushed(features, counts, inventories)
    found["telemetry/logs"] = float(pushed["logs"])
    found["telemetry/points"] = float(pushed["metrics"])
    found["telemetry/silent"] = float(_is_silent(pushed, inventories, size_us))
    found["telemetry/spans"] = float(pushed["traces"])
    return found


def _known_counts(inventories: Iterable[ServiceInventory]) -> frozenset[str]:
    """The counts that are 0 where nothing came."""
    names = {_counts_of(each.endpoints, each.peers, each.queues, each.severities) for each in inventories}
    return names.pop() if len(names) == 1 else frozenset().union(*names)


@lru_cache(_KEPT_LISTS)
def _counts_of(
    endpoints: tuple[str, ...],
    peers: tuple[str, ...],
    queues: tuple[str, ...],
    severities: tuple[str, ...],
) -> frozenset[str]:
    requests = [f"request/{name}/count" for name in (*endpoints, "*") if endpoints]
    calls = [f"call/{name}/count" for name in (*peers, "*") if peers]
    consumed = [f"consume/{name}/count" for name in (*queues, "*") if queues]
    return frozenset([*requests, *calls, *consumed, *(f"log/severity/{level}" for level in severities)])


def _pushed(
    features: Features, counts: Mapping[Signal, int], inventories: Iterable[ServiceInventory]
) -> dict[Signal, int]:
    """How many records the service itself pushed, by signal."""
    metered = frozenset().union(*(each.metered for each in inventories))
    measured = sum(features.get(f"metric/{name}/count", 0.0) for name in metered)
    return {
        "metrics": counts["metrics"] - round(measured),
        "logs": counts["logs"],
        "traces": counts["traces"],
    }


def _is_silent(pushed: Mapping[Signal, int], inventories: Sequence[ServiceInventory], size_us: int) -> bool:
    """Whether every signal that may be waited for is missing."""
    if any(pushed.values()):
        return False
    signals: dict[str, PushedSignal] = {}
    for name, found in (signal for each in inventories for signal in signals_of(each)):
        known = signals.get(name, found)
        signals[name] = PushedSignal(
            min(known.interval_us, found.interval_us), max(known.newest_us, found.newest_us)
        )
    if any(signal.interval_us <= size_us for signal in signals.values()):
        return True
    at_us = max(each.time_us for each in inventories)
    return all(
        at_us - signal.newest_us > _OVERDUE_INTERVALS * signal.interval_us for signal in signals.values()
    )
