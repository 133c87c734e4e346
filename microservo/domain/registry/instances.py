"""Instances of services as columns, by which a question is answered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from microservo.domain.telemetry import Float64
from schemas.records import Registration

State = Literal["up", "unconfirmed", "draining", "unhealthy"]

REGISTRY_SERVICE = "registry"
"""The service whose instances are the registries themselves."""
LEAST_LOAD_CHANGE = 0.1
"""A load that moved by less is not worth telling every region."""
_NO_GRADE, _UNCONFIRMED, _UP = 0, 1, 2


def registration_id(service: str, instance: str) -> str:
    """The key of an instance on the topic.

    Example:
        >>> registration_id("cart", "cart-1")
        'cart/cart-1'
    """
    return f"{service}/{instance}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What an instance says of itself, or somebody of it; None leaves a thing as it was.

    Attributes:
        load: share of its capacity that is in use, from 0.
        healthy: whether it can answer.
        draining: whether it shall get no new requests.
    """

    load: float | None = None
    healthy: bool | None = None
    draining: bool | None = None

    def applied(self, record: Registration, at_us: int) -> Registration:
        """The registration as it is now; the very same where nothing has changed that matters."""
        load = record.load if self.load is None or not _moved(record.load, self.load) else self.load
        healthy = record.healthy if self.healthy is None else self.healthy
        draining = record.draining if self.draining is None else self.draining
        if (load, healthy, draining) == (record.load, record.healthy, record.draining):
            return record
        return replace(record, load=load, healthy=healthy, draining=draining, updated_at_us=at_us)


def _moved(before: float | None, now: float) -> bool:
    return before is None or abs(now - before) >= LEAST_LOAD_CHANGE


def state_of(record: Registration, silent: Collection[str] = ()) -> State:
    """What is known of an instance.

    Args:
        record: its registration.
        silent: registries of which nothing is heard, so that what they said may be no longer true.
    """
    if record.draining:
        return "draining"
    if not record.healthy:
        return "unhealthy"
    return "unconfirmed" if record.registry in silent else "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceColumns:
    """The instances of a service that may be given out, in the order of their names.

    All are up; only where none is they are the unconfirmed ones.

    Attributes:
        records: one per row.
        latitudes: degrees north, shape (rows,).
        longitudes: degrees east, likewise.
        free: share of capacity that is not in use, likewise; 1 where nothing is known of the load.
    """

    records: Sequence[Registration]
    latitudes: Float64
    longitudes: Float64
    free: Float64


def columns_of(records: Collection[Registration], silent: Collection[str] = ()) -> InstanceColumns:
    """The columns of a service; arguments as of `state_of`."""
    graded = [(_grade(record, silent), record) for record in records]
    best = max((grade for grade, _ in graded), default=_NO_GRADE)
    kept = [record for grade, record in graded if grade == best] if best > _NO_GRADE else []
    kept.sort(key=lambda record: record.instance)
    used = np.array([record.load or 0.0 for record in kept], np.float64)
    return InstanceColumns(
        records=kept,
        latitudes=np.array([record.latitude for record in kept], np.float64),
        longitudes=np.array([record.longitude for record in kept], np.float64),
        free=np.clip(1.0 - used, 0.0, 1.0),
    )


def _grade(record: Registration, silent: Collection[str]) -> int:
    return {"up": _UP, "unconfirmed": _UNCONFIRMED}.get(state_of(record, silent), _NO_GRADE)


class Instances:
    """Every instance that is known, by service, with columns that are made again after a change.

    Attributes:
        silent: registries of which nothing is heard.
    """

    def __init__(self) -> None:
        self._by_service: dict[str, dict[str, Registration]] = {}
        self._columns: dict[str, InstanceColumns] = {}
        self._number = 0
        self.silent: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return self._number

    def put(self, record: Registration) -> None:
        """Enters an instance, or what is new of it."""
        of_service = self._by_service.setdefault(record.service, {})
        self._number += record.registration_id not in of_service
        of_service[record.registration_id] = record
        self._columns.pop(record.service, None)

    def remove(self, key: str) -> None:
        """Removes an instance, if it is there."""
        service = key.partition("/")[0]
        of_service = self._by_service.get(service, {})
        if of_service.pop(key, None) is not None:
            self._number -= 1
            self._columns.pop(service, None)
            if not of_service:
                del self._by_service[service]

    def get(self, key: str) -> Registration | None:
        return self._by_service.get(key.partition("/")[0], {}).get(key)

    def silence(self, silent: frozenset[str]) -> None:
        """Says of which registries nothing is heard."""
        if silent != self.silent:
            self.silent = silent
            self._columns.clear()

    def services(self) -> dict[str, int]:
        """How many instances there are of each service, by name."""
        return {service: len(found) for service, found in sorted(self._by_service.items())}

    def of(self, service: str) -> list[tuple[Registration, State]]:
        """All instances of a service with their states, by name."""
        found = self._by_service.get(service, {})
        return [(found[key], state_of(found[key], self.silent)) for key in sorted(found)]

    def columns(self, service: str) -> InstanceColumns:
        """Those of a service that may be given out."""
        found = self._columns.get(service)
        if found is None:
            found = columns_of(self._by_service.get(service, {}).values(), self.silent)
            if found.records:  # what nobody registered must not fill the memory
                self._columns[service] = found
        return found

    def __iter__(self) -> Iterator[Registration]:
        for found in self._by_service.values():
            yield from found.values()
