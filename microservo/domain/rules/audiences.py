"""Whom a rule or a simulated metric applies to."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from microservo.domain.rules.measurements import Measurements
from microservo.domain.rules.membership import Membership
from microservo.domain.rules.rule import Scope
from microservo.domain.telemetry import Int64


class Audiences:
    """The slots of the hosts or containers that a target names."""

    def __init__(self, measurements: Measurements, membership: Membership) -> None:
        self._measurements = measurements
        self._membership = membership
        self._everyone = np.flatnonzero(measurements.serial)
        self._service_of = membership.service_of(len(measurements))
        # Slots and their services in the order of services; sorted when the first rule asks for some.
        self._by_service: tuple[Int64, Int64] | None = None

    def of(self, scope: Scope, targets: Collection[str], *, generic: bool) -> Int64:
        """In their order.

        Args:
            scope: what the targets are.
            targets: names.
            generic: all of them instead.
        """
        if generic:
            return self._everyone
        if scope in ("host", "container"):
            found = [self._measurements.slot_of(name) for name in targets]
            return np.array(sorted(slot for slot in found if slot is not None), np.int64)
        if scope == "service":
            return self._of_services(targets)
        apps = self._membership.apps
        return self._of_services({service for app in targets for service in apps.get(app, ())})

    def _of_services(self, names: Collection[str]) -> Int64:
        if self._by_service is None:
            order = np.argsort(self._service_of, kind="stable")
            self._by_service = order, self._service_of[order]
        order, services = self._by_service
        found = [self._membership.number_of(name) for name in names]
        numbers = np.array([number for number in found if number is not None], np.int64)
        begins, ends = np.searchsorted(services, numbers), np.searchsorted(services, numbers, "right")
        parts = [order[begin:end] for begin, end in zip(begins, ends, strict=True)]
        slots = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
        return slots[self._measurements.serial[slots] > 0]
