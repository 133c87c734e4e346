"""Where requests to services come from, and how that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from microservo.domain.geography import Coordinates, RequestCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A place from which a service gets requests."""

    place: Coordinates
    requests_per_s: float


@dataclass(slots=True, kw_only=True)
class Demand:
    """Requests by service; changed while the world goes on.

    Attributes:
        origins: of each service; it gets no others.
        cores_per_request: processors that a request per second keeps busy.
        routing: `even`, as balancers spread requests over the containers of a service; or `nearest`, as users
            choose those, see `routing`.
        cores_per_container: processors that a container may keep busy, unless it has to share those of its
            host; heeded where the nearest is chosen.
    """

    origins: dict[str, tuple[Origin, ...]] = field(default_factory=dict)
    cores_per_request: float = 0.001
    routing: Literal["even", "nearest"] = "even"
    cores_per_container: float = 1.0

    def rate(self, service: str) -> float:
        """Requests per second to a service."""
        return sum(origin.requests_per_s for origin in self.origins.get(service, ()))

    def counts(self, service: str, seconds: float, at_us: int) -> RequestCounts:
        """The requests of a stretch of time that ends at an instant."""
        found = self.origins[service]
        return RequestCounts(
            latitude=np.array([origin.place.latitude for origin in found]),
            longitude=np.array([origin.place.longitude for origin in found]),
            count=np.array([round(origin.requests_per_s * seconds) for origin in found], np.int64),
            at_us=np.full(len(found), at_us, np.int64),
        )

    def move(self, origins: Mapping[str, tuple[Origin, ...]]) -> None:
        """From now on requests come from elsewhere."""
        self.origins.update(origins)
