"""Which service each container is of, and which services each app has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import Float64, Int64

Bools = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)
_NONE: Final = -1


class Membership:
    """Containers by service and app, in the slots of their `Measurements`; for hosts, who is governed.

    Args:
        apps: names of the services of each app. A service may be of several.
    """

    def __init__(self, apps: Mapping[str, Collection[str]] | None = None) -> None:
        self.apps: Mapping[str, Collection[str]] = apps or {}
        self._services: dict[str, int] = {}
        self._service_of = np.zeros(0, np.int64)
        self._is_governed = np.zeros(0, np.bool_)

    def assign(self, slot: int, service: str = "", *, is_governed: bool = True) -> None:
        """Says what the entity in a slot is; to be said again when the slot has another one.

        Args:
            slot: of a container or host.
            service: of the container.
            is_governed: rules apply to it. False for databases and system services, and for a host that is
                not to be touched.
        """
        if slot >= len(self._service_of):
            # Once more as many, so that one after another costs no copy each.
            more = slot + 1
            self._service_of = np.append(self._service_of, np.full(more, _NONE))
            self._is_governed = np.append(self._is_governed, np.ones(more, np.bool_))
        number = self._services.setdefault(service, len(self._services)) if service else _NONE
        self._service_of[slot] = number
        self._is_governed[slot] = is_governed

    def service_of(self, slots: int) -> Int64:
        """The number of each slot's service, -1 where it has none, shape (slots,)."""
        return padded(self._service_of, slots, _NONE)

    def is_governed(self, slots: int) -> Bools:
        """Whether rules apply to what is in each slot; they do where nobody said so, shape (slots,)."""
        return padded(self._is_governed, slots, True)

    def number_of(self, service: str) -> int | None:
        """The number of a service in `service_of`; None where no container was ever of it."""
        return self._services.get(service)

    def spread(self, by_service: Mapping[str, float], slots: int) -> Float64:
        """Values of services, as anomaly scores are, as values of their containers.

        Args:
            by_service: value of each service.
            slots: how many there are.

        Returns:
            NaN where the service has no value, shape (slots,).
        """
        values = np.full(len(self._services) + 1, np.nan)
        for service, value in by_service.items():
            number = self._services.get(service)
            if number is not None:
                values[number] = value
        # Those of no service have the number -1, which is the last place.
        return values[self.service_of(slots)]


def padded(column: NDArray[Number], length: int, fill: object) -> NDArray[Number]:
    """A column at a length: cut, or filled up at its end."""
    missing = length - len(column)
    if missing <= 0:
        return column[:length]
    return np.append(column, np.full(missing, fill, column.dtype))
