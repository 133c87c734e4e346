"""Simulated metrics: values for fields that nobody measures, or instead of those that somebody does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from microservo.domain.rules.measurements import Measurements
from microservo.domain.rules.membership import Membership
from microservo.domain.rules.rule import Scope
from microservo.domain.telemetry import Float64


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
    raise NotImplementedError


def simulated_values(
    metrics: Sequence[SimulatedMetric],
    measurements: Measurements,
    membership: Membership,
    *,
    seed: int,
    at_us: int,
) -> Float64:
    """What is simulated at an instant, shape (fields, slots), NaN where nothing is; for `Measurements.simulate`.

    A metric applies where it is active and there is no measured value, or it overrides. Of those that apply
    to a container, the latest level wins: app, generic of services, service, container; of a host: generic,
    host. Within a level, the last by name. A value depends on seed, metric, entity and instant alone.

    usmanager let a later level without override not replace what an earlier level had simulated.
    """
    raise NotImplementedError
