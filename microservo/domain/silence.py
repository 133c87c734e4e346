"""What a window says of what did not come: by the inventory of its service, silence is told from absence.

A service's telemetry alone can't show what is missing. Its inventory (`ServiceInventory`, a fact that lies on
a joined topic) says what it has served, called, logged and pushed before. So a window that an inventory of
its service falls into has, beside what came:

==============================  ========================================================================
``request/<endpoint>/...``      of a known endpoint that served nothing; likewise ``request/*/...``
``call/<peer>/...``             of a known peer that was not called; likewise ``call/*/...``
``consume/<queue>/...``         of a known queue that nothing came from; likewise ``consume/*/...``
``internal/<name>/...``         of a known inner step that was not taken; likewise ``internal/*/...``
``metric/<name>/...``           of a known series without a point
``log/severity/<level>``        0 where a service that logs had no line of a severity; all seven are there
``log/template/<template>``     0 where no line of a known template came
``log/template/<other>``        lines of all templates that are not known, 0 where there is none
``telemetry/spans logs points`` how many records the service itself pushed; not what others measured of it
``telemetry/silent``            1 if it pushed nothing of what it usually pushes, else 0
==============================  ========================================================================

Of what did not come, counts are 0, and shares, quantiles and values NaN. So names do not tell what happened:
all windows of a service have the same, and are of one size. A template that is new has none of its own (the
collector's `vocabulary`). A signal that usually comes less than once in a window is missed only when three
of its intervals have passed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from microservo.domain.bounded_names import OTHER
from microservo.domain.features import (
    LEVELS,
    SPAN_STATISTICS,
    Features,
)
from microservo.domain.point_statistics import LEVEL_STATISTICS, RATE_STATISTICS
from microservo.domain.telemetry import Signal
from schemas.records import ServiceInventory

_TEMPLATE = "log/template/"
_OTHER_LINES = _TEMPLATE + OTHER
_OVERDUE_INTERVALS = 3
_KEPT_LISTS = 1024


class _Names(NamedTuple):
    """What features are named by."""

    endpoints: tuple[str, ...]
    peers: tuple[str, ...]
    queues: tuple[str, ...]
    steps: tuple[str, ...]
    templates: tuple[str, ...]
    levels: tuple[str, ...]
    rates: tuple[str, ...]


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
    known = _known(inventories)
    folded = _folded(features, known)
    found = dict(features)
    if folded is not features or not known.keys() <= features.keys():
        everything = {**known, **folded}
        found = {name: everything[name] for name in sorted(everything)}
    # What follows sorts behind everything else.
    pushed = _pushed(features, counts, inventories)
    found["telemetry/logs"] = float(pushed["logs"])
    found["telemetry/points"] = float(pushed["metrics"])
    found["telemetry/silent"] = float(_is_silent(pushed, inventories, size_us))
    found["telemetry/spans"] = float(pushed["traces"])
    return found


def _known(inventories: Iterable[ServiceInventory]) -> Mapping[str, float]:
    """The features that a window has anyway, with what they are where nothing came."""
    found: Mapping[str, float] = {}
    for each in inventories:
        names = _Names(**{name: getattr(each, name) for name in _Names._fields})
        known = _known_of(names, logs="logs" in each.signals)
        found = {**found, **known} if found and found is not known else known
    return found


@lru_cache(_KEPT_LISTS)
def _known_of(names: _Names, *, logs: bool) -> Mapping[str, float]:
    lines = (*(f"severity/{level}" for level in LEVELS), *(f"template/{each}" for each in names.templates))
    features = [
        *_features("request", names.endpoints and (*names.endpoints, "*"), SPAN_STATISTICS),
        *_features("call", names.peers and (*names.peers, "*"), SPAN_STATISTICS),
        *_features("consume", names.queues and (*names.queues, "*"), SPAN_STATISTICS),
        *_features("internal", names.steps and (*names.steps, "*"), SPAN_STATISTICS),
        *_features("metric", names.levels, LEVEL_STATISTICS),
        *_features("metric", names.rates, RATE_STATISTICS),
    ]
    found = {name: 0.0 if name.endswith("/count") else math.nan for name in features}
    if logs:
        found |= dict.fromkeys((_OTHER_LINES, *(f"log/{each}" for each in lines)), 0.0)
    return found


def _features(family: str, names: Iterable[str], statistics: Iterable[str]) -> Iterator[str]:
    return (f"{family}/{name}{statistic}" for name, statistic in product(names, statistics))


def _folded(features: Features, known: Collection[str]) -> Features:
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
