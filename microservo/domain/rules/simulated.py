"""Simulated metrics: values for fields that nobody measures, or instead of those that somebody does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from microservo.domain.mixing import mixed
from microservo.domain.rules.audiences import Audiences
from microservo.domain.rules.fields import check_field
from microservo.domain.rules.measurements import Measurements, hashed
from microservo.domain.rules.membership import Membership
from microservo.domain.rules.rule import SCOPES, Scope
from microservo.domain.telemetry import Float64, UInt64
from microservo.errors import InvalidInput

_LEVELS: Final[Mapping[tuple[Scope, bool], int]] = {
    ("host", True): 0,
    ("host", False): 1,
    ("app", False): 0,
    ("service", True): 1,
    ("service", False): 2,
    ("container", False): 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMetric:
    """A field whose value is drawn evenly between two bounds, anew at every instant.

    Attributes:
        name: unique among all simulated metrics.
        scope: what its targets are.
        field: what is simulated.
        minimum: least value.
        maximum: largest value.
        generic: it applies to all hosts, or the containers of all services. Of scope host or service.
        override: it applies also where there is a measured value.
        active: it applies at all.
        targets: names of hosts, apps, services or containers.
    """

    name: str
    scope: Scope
    field: str
    minimum: float
    maximum: float
    generic: bool = False
    override: bool = False
    active: bool = True
    targets: frozenset[str] = frozenset()


def check_simulated(metrics: Sequence[SimulatedMetric], *, queries: Collection[str] = ()) -> None:
    """Refuses simulated metrics that can't be meant; see `check_rules`.

    Raises:
        InvalidInput: names what is wrong, with what, and what would do.
    """
    for metric in metrics:
        _check(metric, queries)
    name, times = next(iter(Counter(metric.name for metric in metrics).most_common(1)), ("", 0))
    if times > 1:
        msg = f"{times} simulated metrics are named {name[:80]!r}; the name is unique, so rename the others"
        raise InvalidInput(msg)


def simulated_values(
    metrics: Sequence[SimulatedMetric],
    measurements: Measurements,
    membership: Membership,
    *,
    seed: int,
    at_us: int,
) -> Float64:
    """What is simulated at an instant, NaN where nothing is, shape (fields, slots).

    It is meant for `Measurements.simulate`.

    A metric applies where it is active and there is no measured value, or it overrides. Of those that apply
    to a container, the latest level wins: app, generic of services, service, container; of a host: generic,
    host. Within a level, the last by name. A value depends on seed, metric, entity and instant alone.

    usmanager let a later level without override not replace what an earlier level had simulated.
    """
    simulated = np.full(measurements.values.shape, np.nan)
    audiences = Audiences(measurements, membership)
    for metric in sorted(metrics, key=lambda metric: (_LEVELS[metric.scope, metric.generic], metric.name)):
        row = measurements.fields.get(metric.field)
        if row is None or not metric.active or (metric.scope == "host") != (measurements.kind == "host"):
            continue
        slots = audiences.of(metric.scope, metric.targets, generic=metric.generic)
        if not metric.override:
            slots = slots[np.isnan(measurements.values[row, slots])]
        drawn = _drawn(metric.name, measurements.keys[slots], seed, at_us)
        # Not minimum + share x width: the width of two large bounds may be infinite.
        between = metric.minimum * (1.0 - drawn) + metric.maximum * drawn
        # Rounding may leave the bounds.
        simulated[row, slots] = np.clip(between, metric.minimum, metric.maximum)
    return simulated


def _drawn(name: str, keys: UInt64, seed: int, at_us: int) -> Float64:
    """Evenly from 0 up to 1, not included, one number for each key."""
    start = np.array([hashed(f"{seed}/{at_us}/{name}")], np.uint64)
    return (mixed(mixed(start) ^ keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _check(metric: SimulatedMetric, queries: Collection[str]) -> None:
    known = f"simulated metric {metric.name[:80]!r}"
    check_field(metric.field, queries=queries)
    if not metric.name.strip():
        msg = f"a simulated metric of {metric.field[:80]!r} has no name; give one, which its values go by"
        raise InvalidInput(msg)
    if metric.scope not in SCOPES:
        msg = f"{known} has scope {metric.scope!r}; take one of {', '.join(SCOPES)}"
        raise InvalidInput(msg)
    if metric.generic and metric.scope not in ("host", "service"):
        msg = f"{known} of scope {metric.scope} is generic; make it a generic one of services, or attach it"
        raise InvalidInput(msg)
    if metric.generic and metric.targets:
        msg = f"{known} is generic and attached to {min(metric.targets)[:80]!r}; make it one or the other"
        raise InvalidInput(msg)
    if not (math.isfinite(metric.minimum) and math.isfinite(metric.maximum)):
        msg = f"{known} is from {metric.minimum} to {metric.maximum}; give two finite numbers"
        raise InvalidInput(msg)
    if metric.minimum > metric.maximum:
        msg = f"{known} is from {metric.minimum:g} to {metric.maximum:g}; give the smaller one first"
        raise InvalidInput(msg)
