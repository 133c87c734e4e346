"""What deciding costs: `python -m benchmarks.manager`, two minutes.

Processor time of one process: 10,000 hosts, 100,000 containers of 1,000 services, in virtual time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from benchmarks.command import run
from benchmarks.cpu import cpu_s
from benchmarks.figures import Figure, figure
from microservo.domain.geography import SEVEN_REGIONS
from microservo.domain.manager import events
from microservo.domain.manager.entities import Entity, NamedCondition, NamedRule
from microservo.domain.manager.simulation import Delays, Demand, Origin, World, fleet
from microservo.domain.manager.simulation.world import SECOND_US

COMMAND = "python -m benchmarks.manager"
_HOSTS, _SERVICES, _CONTAINERS = 10_000, 1_000, 100_000
_FIELDS = ("cpu-%", "rx-bytes-per-sec")
_TURNS = 5
_ASKED_S = 1.0
_LOST = 20
_REGION = "Oceania"
_GIVE_UP_S = 60


def figures() -> Iterator[Figure]:
    """An evaluation of all containers and hosts, and what it takes to bring containers back."""
    world, size = _world(), f"{_CONTAINERS:,} containers, {_HOSTS:,} hosts, 20 rules"
    costs = []
    for _ in range(_TURNS):
        world.now_us += 5 * SECOND_US
        measure_s = cpu_s(world.measure)
        costs.append((cpu_s(lambda: world.tell(events.TimePassed(now_us=world.now_us))), measure_s))
    evaluate_s, measure_s = min(costs)
    yield figure(
        f"an evaluation: {size}",
        evaluate_s,
        "s of CPU",
        peer="asked for",
        peer_value=_ASKED_S,
        command=COMMAND,
    )
    yield figure(
        "taking in what is measured of them",
        measure_s,
        "s of CPU",
        peer="the evaluation",
        peer_value=evaluate_s,
        command=COMMAND,
    )
    lost = [f"h-{number}" for number in range(1, 1 + _LOST)]
    containers = sum(len(world.state.by_host[host]) for host in lost)
    cost_s = cpu_s(lambda: world.fail(lost))
    yield figure(
        f"bringing a container of a failed host back, {_HOSTS:,} hosts to choose from",
        1000 * cost_s / containers,
        "ms of CPU",
        peer="a tick without anything to do",
        peer_value=1000 * cpu_s(lambda: world.tell(events.TimePassed(now_us=world.now_us))),
        command=COMMAND,
    )
    yield from _region_lost(world, evaluate_s)


def _region_lost(world: World, evaluate_s: float) -> Iterator[Figure]:
    """How long the containers of a lost region are away, and what deciding about them costs."""
    hosts = [host.name for host in world.state.hosts.values() if host.region == _REGION]
    before, lost_us = len(world.running), world.now_us
    decide_s = cpu_s(lambda: world.fail(hosts))
    lost = before - len(world.running)
    while len(world.running) < before and world.now_us < lost_us + _GIVE_UP_S * SECOND_US:
        world.run(1)
    problems = world.violations()
    if len(world.running) < before or problems:
        msg = f"{before - len(world.running)} containers are not back, {len(problems)} invariants are broken"
        raise RuntimeError(msg)
    what = f"{lost:,} containers of {len(hosts):,} hosts of a lost region"
    yield figure(
        f"until all {what} are back, launches at once, deciding not counted",
        (world.now_us - lost_us) / SECOND_US,
        "s of virtual time",
        peer="a launch",
        peer_value=Delays().launch_us / SECOND_US,
        command=COMMAND,
    )
    yield figure(
        f"deciding where to launch {what}",
        decide_s,
        "s of CPU",
        peer="an evaluation",
        peer_value=evaluate_s,
        command=COMMAND,
    )


def _world() -> World:
    europe = SEVEN_REGIONS[0].centre
    origins: dict[str, tuple[Origin, ...]] = {
        f"s-{number}": (Origin(place=europe, requests_per_s=10_000.0),) for number in range(_SERVICES)
    }
    entities = fleet(hosts=_HOSTS, services=_SERVICES, containers=_CONTAINERS, minimum_replicas=50)
    return World([*entities, *_rules()], demand=Demand(origins=origins))


def _rules() -> Iterator[Entity]:
    """Twenty, half of which match; what they decide is that nothing is to be done."""
    for number in range(20):
        name, field = f"r-{number}", _FIELDS[number // 2 % len(_FIELDS)]
        least = 0.0 if number % 2 else 1e12
        yield NamedCondition(name=name, field=field, operator=">", value=least)
        yield NamedRule(
            name=name,
            scope="host" if number % 5 == 0 else "service",
            generic=True,
            priority=number,
            decision="none",
            conditions=(name,),
        )


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, lambda *_: figures(), name="manager", title="What the manager's decisions cost")


if __name__ == "__main__":
    sys.exit(main())
