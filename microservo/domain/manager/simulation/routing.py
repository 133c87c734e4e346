"""Which container answers which requests, how far those travel and how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from microservo.domain.geography import FIBRE_M_PER_S, Coordinates, distances_m
from microservo.domain.manager.simulation.demand import Origin
from microservo.domain.telemetry import Float64, Int64

BUSY: Final = 0.8
"""A balancer sends requests on to the next region when so much of its containers is busy."""
FULL: Final = 0.95
"""Containers take no more requests when they are so busy."""
SERVICE_MS: Final = 5.0
"""What a request takes in a container that does nothing else."""
ACCESS_MS: Final = 10.0
"""From users to the network and back."""
DETOUR: Final = 1.4
"""How much longer lines are than great circles."""
TIMEOUT_MS: Final = 5_000.0
"""After which users give up what nobody answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Requests to one service, a row or two for each pair of origin and container, shape (rows,).

    Attributes:
        container: its place among those of the service.
        requests_per_s: how many.
        distance_m: how far each travels, metres.
        capacity_per_s: requests that keep the container busy all of the time.
        lost_per_s: requests that no container has room for.
    """

    container: Int64
    requests_per_s: Float64
    distance_m: Float64
    capacity_per_s: Float64
    lost_per_s: float


def nearest_flows(
    origins: Sequence[Origin],
    places: Sequence[Coordinates],
    regions: Sequence[str],
    capacity_per_s: Sequence[float],
) -> Flows:
    """Requests go to the balancer of the nearest region, and to the next where that one has too much to do.

    A balancer spreads them over the containers of its region as these can do, and takes no more when they are
    `BUSY`; where all are, as many as make them `FULL`. The shortest ways come first.

    Args:
        origins: of the requests.
        places: of the containers; likewise all that follow.
        regions: that they lie in.
        capacity_per_s: requests that keep each of them busy all of the time.

    Example:
        >>> here = Coordinates(50, 10)
        >>> found = nearest_flows([Origin(place=here, requests_per_s=100)], [here], ["Europe"], [80])
        >>> found.requests_per_s.round().tolist(), round(found.lost_per_s)
        ([64.0, 12.0], 24)
    """
    left = [origin.requests_per_s for origin in origins]
    metres, capacity = _distances(origins, places), np.array(capacity_per_s, np.float64)
    names = np.array(regions)
    pools = [np.flatnonzero(names == name) for name in sorted(set(regions))]
    ways = sorted(
        (float(metres[origin, pool].mean()), origin, number)
        for origin in range(len(origins))
        for number, pool in enumerate(pools)
    )
    room = [0.0] * len(pools)
    rows: list[tuple[Int64, Float64, Float64]] = []
    for share in (BUSY, FULL - BUSY):
        room = [each + share * float(capacity[pool].sum()) for each, pool in zip(room, pools, strict=True)]
        for _, origin, number in ways:
            taken = min(left[origin], room[number])
            if taken > 0:
                left[origin] -= taken
                room[number] -= taken
                pool = pools[number]
                rows.append((pool, taken * capacity[pool] / capacity[pool].sum(), metres[origin, pool]))
    container = np.concatenate([np.zeros(0, np.int64), *(pool for pool, _, _ in rows)])
    return Flows(
        container=container,
        requests_per_s=np.concatenate([np.zeros(0), *(requests for _, requests, _ in rows)]),
        distance_m=np.concatenate([np.zeros(0), *(far for _, _, far in rows)]),
        capacity_per_s=capacity[container],
        lost_per_s=sum(left),
    )


def latencies_ms(flows: Flows) -> Float64:
    """What users of a service wait for in each row: there and back, and longer the busier the container is.

    Source: the mean time in an M/M/1 queue, service time / (1 - share of time that it is busy).
    """
    busy = np.bincount(flows.container, flows.requests_per_s)[flows.container] / flows.capacity_per_s
    network_ms = 2e3 * DETOUR * flows.distance_m / FIBRE_M_PER_S
    found: Float64 = ACCESS_MS + network_ms + SERVICE_MS / (1.0 - busy)
    return found


def _distances(origins: Sequence[Origin], places: Sequence[Coordinates]) -> Float64:
    """Shape (origins, containers)."""
    return distances_m(
        np.array([[origin.place.latitude] for origin in origins]),
        np.array([[origin.place.longitude] for origin in origins]),
        np.array([place.latitude for place in places]),
        np.array([place.longitude for place in places]),
    ).reshape(len(origins), len(places))
