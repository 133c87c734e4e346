"""What a window says of what did not come: by the inventory of its service, silence is told from absence.

A service's telemetry alone can't show what is missing. Its inventory (`ServiceInventory`, a fact that lies on
a joined topic) says what it has served, called, logged and pushed before. So a window that an inventory of
its service falls into has, beside what came:

==============================  ========================================================================
``request/<endpoint>/count``    0 where a known endpoint served nothing; likewise ``request/*/count``
``call/<peer>/count``           0 where a known peer was not called; likewise ``call/*/count``
``consume/<queue>/count``       0 where nothing came from a known queue; likewise ``consume/*/count``
``log/severity/<level>``        0 where a service that logs had no line of a severity; all seven are there
``log/template/<template>``     0 where no line of a known template came
``log/template/<other>``        lines of all templates that are not known, 0 where there is none
``telemetry/spans logs points`` how many records the service itself pushed; not what others measured of it
``telemetry/silent``            1 if it pushed nothing of what it usually pushes, else 0
==============================  ========================================================================

So names do not tell what happened: a template that is new has none of its own (the collector's `vocabulary`).
Shares and quantiles of nothing are undefined, and left out. A signal that usually comes less than once in a
window is missed only when three of its intervals have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from microservo.domain.bounded_names import OTHER
from microservo.domain.features import LEVELS, Features
from microservo.domain.telemetry import Signal
from schemas.records import ServiceInventory

_TEMPLATE = "log/template/"
_OTHER_LINES = _TEMPLATE + OTHER
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
    known = _known_counts(inventories)
    folded = _folded(features, known)
    missing = dict.fromkeys(known - folded.keys(), 0.0)
    # What follows sorts behind everything else.
    is_sorted = folded is features and not missing
    found = dict(features) if is_sorted else dict(sorted({**folded, **missing}.items()))
    pushed = _pushed(features, counts, inventories)
    found["telemetry/logs"] = float(pushed["logs"])
    found["telemetry/points"] = float(pushed["metrics"])
    found["telemetry/silent"] = float(_is_silent(pushed, inventories, size_us))
    found["telemetry/spans"] = float(pushed["traces"])
    return found


def _known_counts(inventories: Iterable[ServiceInventory]) -> frozenset[str]:
    """The counts that are 0 where nothing came."""
    names = {
        _counts_of(each.endpoints, each.peers, each.queues, each.templates, logs="logs" in each.signals)
        for each in inventories
    }
    return names.pop() if len(names) == 1 else frozenset().union(*names)


@lru_cache(_KEPT_LISTS)
def _counts_of(
    endpoints: tuple[str, ...],
    peers: tuple[str, ...],
    queues: tuple[str, ...],
    templates: tuple[str, ...],
    *,
    logs: bool,
) -> frozenset[str]:
    requests = [f"request/{name}/count" for name in (*endpoints, "*") if endpoints]
    calls = [f"call/{name}/count" for name in (*peers, "*") if peers]
    consumed = [f"consume/{name}/count" for name in (*queues, "*") if queues]
    levels = [f"log/severity/{level}" for level in LEVELS if logs]
    lines = [f"{_TEMPLATE}{name}" for name in (*templates, OTHER) if logs]
    return frozenset([*requests, *calls, *consumed, *levels, *lines])


def _folded(features: Features, known: frozenset[str]) -> Features:
    """The features, of templates that are not known all in one."""
    new = {name for name in features if name.startswith(_TEMPLATE) and name not in known}
    if not new:
        return features
    lines = sum(features[name] for name in new | ({_OTHER_LINES} & features.keys()))
    return {name: value for name, value in features.items() if name not in new} | {_OTHER_LINES: lines}


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
