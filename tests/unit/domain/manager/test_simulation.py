"""What must hold in a world with many hosts, whatever happens in it."""

from __future__ import annotations

import pytest

from microservo.domain.geography import SEVEN_REGIONS
from microservo.domain.manager import actions as act
from microservo.domain.manager.entities import Entity, NamedCondition, NamedRule
from microservo.domain.manager.simulation import Demand, Origin, World, fleet

HOSTS, SERVICES, CONTAINERS = 210, 30, 1500
CENTRES = [region.centre for region in SEVEN_REGIONS]


def rules() -> list[Entity]:
    found: list[Entity] = []
    for scope, decision, operator, value in (
        ("service", "replicate", ">", 40.0),
        ("service", "migrate", ">", 10.0),
        ("service", "stop", "<", 0.5),
        ("host", "overload", ">", 80.0),
        ("host", "underload", "<", 1.0),
    ):
        name = f"{decision}-if"
        found.append(
            NamedCondition(name=name, field="cpu-%", operator=operator, value=value)  # type: ignore[arg-type]
        )
        found.append(
            NamedRule(
                name=decision,
                scope=scope,  # type: ignore[arg-type]
                generic=True,
                decision=decision,  # type: ignore[arg-type]
                conditions=(name,),
            )
        )
    return found


@pytest.fixture(scope="module")
def world() -> World:
    origins: dict[str, tuple[Origin, ...]] = {
        f"s-{number}": (Origin(place=CENTRES[number % len(CENTRES)], requests_per_s=40_000.0),)
        for number in range(SERVICES)
    }
    entities = fleet(hosts=HOSTS, services=SERVICES, containers=CONTAINERS, seed=3, minimum_replicas=40)
    made = World([*entities, *rules()], demand=Demand(origins=origins))
    made.run(20)
    return made


def changes(made: World, since: int) -> int:
    kinds = (act.Launch, act.Stop)
    return sum(isinstance(each, kinds) for wanted in made.decisions[since:] for each in wanted)


def test_under_constant_demand_it_comes_to_rest_and_stays_there(world: World) -> None:
    world.run(300)
    at_rest = len(world.decisions)
    world.run(300)
    assert changes(world, at_rest) == 0
    assert world.violations() == []


def test_after_a_region_is_lost_every_service_has_its_minimum_within_five_seconds(world: World) -> None:
    lost = [host.name for host in world.state.hosts.values() if host.region == "Asia"]
    assert len(lost) > 20
    before = len(world.running)
    world.fail(lost)
    assert len(world.running) < before
    world.run(5)
    assert world.violations() == []
    assert len(world.running) == before
