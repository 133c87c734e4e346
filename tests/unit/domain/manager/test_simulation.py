"""What must hold in a world with many hosts, whatever happens in it."""

from __future__ import annotations

import pytest

from microservo.domain.geography import SEVEN_REGIONS
from microservo.domain.manager import actions as act
from microservo.domain.manager.entities import Container, Entity, NamedCondition, NamedRule, Service
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


def theirs(number: int) -> Container:
    """One that others started on a host of the fleet."""
    return Container(
        name=f"theirs-{number}",
        service="theirs",
        host=f"h-{number}",
        state="running",
        latitude=0.0,
        longitude=0.0,
        started_at_us=1,
    )


def fullest_percent(made: World) -> float:
    """How full the memory of the fullest host is, by what its containers are expected to take."""
    used: dict[str, float] = {}
    for each in made.running.values():
        used[each.host] = used.get(each.host, 0.0) + made.state.need(each.service).memory_bytes
    return max(100 * memory / made.state.hosts[host].memory_bytes for host, memory in used.items())


@pytest.mark.parametrize("policy", ["rules", "random"])
def test_in_rough_minutes_no_host_is_ever_too_full_minima_come_back_and_others_are_left_alone(
    policy: str,
) -> None:
    foreign = [theirs(number) for number in range(100)]
    origins: dict[str, tuple[Origin, ...]] = {
        f"s-{number}": (Origin(place=CENTRES[0], requests_per_s=30_000.0),) for number in range(40)
    }
    entities = [
        *fleet(hosts=200, services=40, containers=2000, seed=5, minimum_replicas=45),
        Service(name="theirs", type="frontend", memory_bytes=2.0**30, cores=0.1),
        *foreign,
        *rules(),
    ]
    made = World(entities, demand=Demand(origins=origins), policy=policy)
    lacking_s, fullest = 0, 0.0
    for second in range(180):
        if second == 30:  # The sun has gone on: all users are in Asia now.
            made.demand.move({name: (Origin(place=CENTRES[5], requests_per_s=30_000.0),) for name in origins})
        if second in (60, 75, 90):
            for name in sorted(each for each in made.running if not each.startswith("theirs"))[:40]:
                made.kill(name)
        if second == 120:
            made.fail([host.name for host in made.state.hosts.values() if host.region == "Africa"])
        made.run(1)
        fullest = max(fullest, fullest_percent(made))
        lacking_s = lacking_s + 1 if made.violations() else 0
        assert lacking_s < 5, f"second {second}: {made.violations()[:3]}"
    assert fullest < 90
    assert len(made.actions(act.Launch)) > 100, "it was rough"
    touched = {each.container.name for each in made.actions(act.Launch)}
    touched |= {each.container for each in made.actions(act.Stop)}
    assert not touched & {each.name for each in foreign}
    assert {each.name for each in foreign if each.host not in made.down} <= made.running.keys()
