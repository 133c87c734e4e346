"""A manager's world in virtual time, as tests of what it decides describe it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from microservo.domain.geography import SEVEN_REGIONS, Coordinates
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.entities import (
    Container,
    Entity,
    Host,
    NamedCondition,
    NamedRule,
    Node,
    Service,
)
from microservo.domain.manager.simulation import Demand, Origin, World
from schemas.records import ControlAction, ControlCommand, ControlEvent

GIB = float(1 << 30)
CENTRES = {region.name: region.centre for region in SEVEN_REGIONS}
EUROPE, ASIA, AMERICA = (CENTRES[name] for name in ("Europe", "Asia", "North America"))


def host(name: str, place: Coordinates, *, node: bool = True, **values: object) -> list[Entity]:
    made = Host(
        name=name,
        place="edge",
        latitude=place.latitude,
        longitude=place.longitude,
        state="running",
        memory_bytes=8 * GIB,
        cores=4.0,
        disk_bytes=100 * GIB,
    )
    return [replace(made, **values), *([Node(host=name)] if node else [])]  # type: ignore[arg-type]


def rule(decision: str, operator: str, value: float, *, scope: str = "service") -> list[Entity]:
    condition = NamedCondition(name=f"{decision}-if", field="cpu-%", operator=operator, value=value)  # type: ignore[arg-type]
    named = NamedRule(
        name=f"{decision}-rule",
        scope=scope,  # type: ignore[arg-type]
        generic=True,
        decision=decision,  # type: ignore[arg-type]
        conditions=(condition.name,),
    )
    return [condition, named]


def front(**values: object) -> Service:
    made = Service(name="front", type="frontend", memory_bytes=1 * GIB, cores=0.1, minimum_replicas=1)
    return replace(made, **values)  # type: ignore[arg-type]


def container(name: str, on: str, place: Coordinates, service: str = "front", **values: object) -> Container:
    made = Container(
        name=name,
        service=service,
        host=on,
        state="running",
        latitude=place.latitude,
        longitude=place.longitude,
        managed_by="master",
        started_at_us=1,
    )
    return replace(made, **values)  # type: ignore[arg-type]


def world(*entities: Entity | Iterable[Entity], demand: Demand | None = None, seconds: float = 6) -> World:
    found: list[Entity] = []
    for each in entities:
        found += each if isinstance(each, list) else [each]  # type: ignore[list-item]
    made = World(found, demand=demand)
    made.run(seconds)
    return made


def reports(made: World, action: str, state: str = "decided") -> list[ControlEvent]:
    found = [report.event for report in made.actions(act.Report)]
    return [event for event in found if event.action == action and event.state == state]


def hosts_of(made: World, service: str = "front") -> list[str]:
    return sorted(each.host for each in made.running.values() if each.service == service)


def command(made: World, action: ControlAction, entity: str, document: str = "", **arguments: str) -> None:
    given = ControlCommand(
        command_id=f"{action}-{len(made.events)}",
        entity=entity,
        action=action,
        requested_at_us=made.now_us,
        requested_by="ana",
        arguments=arguments,
        document=document,
    )
    made.tell(events.CommandGiven(now_us=made.now_us, command=given))


def requests(rate: float, place: Coordinates) -> Demand:
    return Demand(origins={"front": (Origin(place=place, requests_per_s=rate),)})
