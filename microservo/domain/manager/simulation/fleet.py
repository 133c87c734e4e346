"""Hosts, services and running containers in any number, spread over the regions of the world."""

from __future__ import annotations

import random
from collections.abc import Iterator

from microservo.domain.geography import SEVEN_REGIONS, Coordinates, region_of
from microservo.domain.manager.entities import Container, Entity, Host, Node, Service

GIB = float(1 << 30)
HOST_MEMORY_BYTES = 64 * GIB
HOST_CORES = 16.0
SERVICE_MEMORY_BYTES = 1 * GIB
_SPREAD_DEGREES = 8.0


def fleet(
    *, hosts: int, services: int, containers: int, seed: int = 0, minimum_replicas: int = 1
) -> Iterator[Entity]:
    """Entities of a system at work: hosts around the centres of regions, containers spread evenly over them.

    Args:
        hosts: how many, all nodes.
        services: how many, backends named `s-0`, `s-1` and so on.
        containers: how many, dealt to hosts and services in turn.
        seed: of the places.
        minimum_replicas: of each service.
    """
    chance = random.Random(seed)
    places = [_near(chance, number) for number in range(hosts)]
    for number, place in enumerate(places):
        name = f"h-{number}"
        yield Host(
            name=name,
            place="edge" if number % 2 else "cloud",
            latitude=place.latitude,
            longitude=place.longitude,
            region=region_of(place).name,
            state="running",
            memory_bytes=HOST_MEMORY_BYTES,
            cores=HOST_CORES,
            disk_bytes=500 * GIB,
            is_managers=number == 0,
            is_ours=number > 0,
        )
        yield Node(host=name)
    for number in range(services):
        yield Service(
            name=f"s-{number}",
            minimum_replicas=minimum_replicas,
            memory_bytes=SERVICE_MEMORY_BYTES,
            cores=0.1,
        )
    for number in range(containers):
        place = places[number % hosts]
        yield Container(
            name=f"c-{number}",
            service=f"s-{number % services}",
            host=f"h-{number % hosts}",
            state="running",
            latitude=place.latitude,
            longitude=place.longitude,
            region=region_of(place).name,
            managed_by="master",
            started_at_us=1,
        )


def _near(chance: random.Random, number: int) -> Coordinates:
    centre = SEVEN_REGIONS[number % len(SEVEN_REGIONS)].centre
    return Coordinates(
        centre.latitude + chance.uniform(-_SPREAD_DEGREES, _SPREAD_DEGREES),
        centre.longitude + chance.uniform(-_SPREAD_DEGREES, _SPREAD_DEGREES),
    )
