"""Which service each container is of, and which services each app has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rules.measurements import Measurements
from microservo.domain.telemetry import Float64, Int64

Bools = NDArray[np.bool_]


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
        raise NotImplementedError

    def service_number(self, name: str) -> int | None:
        """The place of a service in a column of services; None where no container was ever of it."""
        return self._services.get(name)

    def spread(self, by_service: Mapping[str, float], measurements: Measurements) -> tuple[Int64, Float64]:
        """Values of services, as anomaly scores are, as values of their containers: slots and values."""
        raise NotImplementedError
