"""A day in virtual time in which the demand follows the sun and things fail, the same for every policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import cos, pi
from random import Random
from typing import Final

from microservo.domain.geography import SEVEN_REGIONS, Coordinates
from microservo.domain.manager.entities import (
    Container,
    Entity,
    Host,
    NamedCondition,
    NamedRule,
    Service,
    Settings,
)
from microservo.domain.manager.simulation.demand import Demand, Origin
from microservo.domain.manager.simulation.fleet import fleet
from microservo.domain.manager.simulation.world import SECOND_US, Delays, World
from microservo.domain.rules import Decided, Operator
from microservo.errors import InvalidInput

HOURS: Final = 24
STEP_S: Final = 60
CONTAINER_CORES: Final = 4.0
"""Processors that a container may keep busy."""
_HOME: Final = SEVEN_REGIONS[0]
_HOUR_S: Final = 3600
_NOON_H: Final = 13.0
"""Local solar time at which most people ask."""
_NIGHT: Final = 0.05
"""The share of the demand of noon that there is at night."""
_PEAK_PER_S: Final = 5_000.0
_CONTAINERS: Final = 6
"""Of each service, at first; rules and chance may make them as many as `_MOST_CONTAINERS`."""
_MOST_CONTAINERS: Final = 16
_KILL_EACH_S: Final = 3 * _HOUR_S
_HOST_FAILS_S: Final = 12 * _HOUR_S
_RULES: Final[tuple[tuple[Decided, Operator, float], ...]] = (
    ("replicate", ">", 15.0),
    ("stop", "<", 5.0),
)
"""Of `cpu-%`, of which a busy container has 25 on a host of sixteen processors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What a day is like.

    Attributes:
        seed: of places of hosts, popularity of services, failures, and policies that draw by lot.
        hosts: how many, spread over seven regions.
        services: how many; all of them begin at home, in Europe, with six containers.

    Raises:
        InvalidInput: a number that is out of range.
    """

    seed: int = 0
    hosts: int = 42
    services: int = 3

    def __post_init__(self) -> None:
        for name, least, most in (("hosts", 14, 1000), ("services", 1, 100)):
            if not least <= getattr(self, name) <= most:
                msg = f"a day of {getattr(self, name)} {name} can't be judged; give {least} to {most}"
                raise InvalidInput(msg)


def lived(day: Day, policy: str) -> Iterator[World]:
    """The world after each minute of the day.

    Demand, and which service loses a container or which host fails at which instant, depend on the day alone,
    never on the policy.

    Args:
        day: what it is like.
        policy: the name of the one that decides.

    Raises:
        InvalidInput: there is no such policy.
    """
    chance = Random(day.seed)
    entities = [*_entities(day)]
    popularity = {f"s-{number}": chance.uniform(0.5, 1.5) for number in range(day.services)}
    kills = [*_kills(day, chance)]
    demand = Demand(routing="nearest", cores_per_container=CONTAINER_CORES)
    demand.move(_origins(popularity, 0))
    delays = Delays(tick_us=10 * SECOND_US, measure_us=STEP_S * SECOND_US)
    world = World(entities, demand=demand, delays=delays, seed=day.seed, policy=policy)
    for second in range(0, HOURS * _HOUR_S, STEP_S):
        demand.move(_origins(popularity, second))
        while kills and kills[0][0] <= second:
            _kill_one(world, kills.pop(0)[1])
        if second == _HOST_FAILS_S:
            world.fail([_homes(entities)[0].name])
        world.run(STEP_S)
        yield world


def _entities(day: Day) -> Iterator[Entity]:
    hosts = [*fleet(hosts=day.hosts, services=day.services, containers=0, seed=day.seed, minimum_replicas=2)]
    for each in hosts:
        if isinstance(each, Service):
            yield replace(each, cores=CONTAINER_CORES / 2, maximum_replicas=_MOST_CONTAINERS)
        else:
            yield each
    # Longer than from one measurement to the next, so that demand is always known.
    yield Settings(demand_window_us=5 * STEP_S * SECOND_US)
    for decision, operator, value in _RULES:
        yield NamedCondition(name=f"{decision}-if", field="cpu-%", operator=operator, value=value)
        yield NamedRule(
            name=decision, scope="service", generic=True, decision=decision, conditions=(f"{decision}-if",)
        )
    homes = _homes(hosts)
    for number in range(_CONTAINERS * day.services):
        home = homes[number % len(homes)]
        yield Container(
            name=f"c-{number}",
            service=f"s-{number % day.services}",
            host=home.name,
            state="running",
            latitude=home.latitude,
            longitude=home.longitude,
            region=home.region,
            managed_by="master",
            started_at_us=1,
        )


def _homes(entities: list[Entity]) -> list[Host]:
    """Hosts at home, without the manager's own."""
    hosts = [each for each in entities if isinstance(each, Host) and not each.is_managers]
    return [each for each in hosts if each.region == _HOME.name] or hosts[:1]


def _origins(popularity: dict[str, float], second: int) -> dict[str, tuple[Origin, ...]]:
    """Users of each service in each region, as many as the sun there stands high."""
    shares = [(region.centre, _awake(region.centre, second)) for region in SEVEN_REGIONS]
    return {
        service: tuple(
            Origin(place=place, requests_per_s=_PEAK_PER_S * weight * share) for place, share in shares
        )
        for service, weight in popularity.items()
    }


def _awake(place: Coordinates, second: int) -> float:
    """The share of its people that ask: all of them at noon, few at night."""
    local_h = second / _HOUR_S + place.longitude / 15.0
    height = max(0.0, cos(2 * pi * (local_h - _NOON_H) / 24.0))
    return _NIGHT + (1.0 - _NIGHT) * height * height


def _kills(day: Day, chance: Random) -> Iterator[tuple[float, str]]:
    """Instants at which a container ends, and of which service."""
    second = chance.expovariate(1.0 / _KILL_EACH_S)
    while second < HOURS * _HOUR_S:
        yield second, f"s-{chance.randrange(day.services)}"
        second += chance.expovariate(1.0 / _KILL_EACH_S)


def _kill_one(world: World, service: str) -> None:
    found = [name for name, each in world.running.items() if each.service == service]
    if found:
        world.kill(min(found))
