"""The topologies that a target can be run from: which there are, and what is in one."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.application.command import Command, Context
from microservo.domain.launch_waves import launch_waves
from microservo.domain.target_memory import topology_memory_bytes
from microservo.domain.topology import ServiceType, Topology
from microservo.errors import InvalidInput
from microservo.platforms.local.topology_files import read_topology
from microservo.platforms.local.topology_files import shipped_topologies as shipped_topologies  # noqa: PLC0414


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologySummary:
    """A topology in figures.

    Attributes:
        calls: pairs of services of which one calls the other.
        memory_bytes: what it takes on this machine before any fault.
    """

    name: str
    entry: str
    services: int
    instances: int
    databases: int
    calls: int
    journeys: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSummary:
    """A service of a topology.

    Attributes:
        wave: number of its launch wave, from 1; None where they can't be launched in waves.
        calls: the services that it calls, by name.
    """

    name: str
    type: ServiceType
    launch_order: int
    wave: int | None
    replicas: int
    output_label: str
    endpoints: tuple[str, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneySummary:
    """What one user does, and how many of all do that, as a part (0..1)."""

    name: str
    share: float
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyDescription:
    """All about a topology.

    Attributes:
        services: in the order in which they are launched.
        launch_problem: why they can't be launched in waves; empty where they can.
    """

    summary: TopologySummary
    services: tuple[ServiceSummary, ...]
    journeys: tuple[JourneySummary, ...]
    launch_problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTopologies(Command[tuple[TopologySummary, ...]]):
    """Asks for the topologies that come with MicroServo; needs no running system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowTopology(Command[TopologyDescription]):
    """Asks for all about one; `name` is a shipped one's, or the path of a file that ends in .toml."""

    name: str


def list_topologies(_command: ListTopologies, _context: Context) -> tuple[TopologySummary, ...]:
    """The topologies, by their names."""
    return tuple(_summary(read_topology(name)) for name in shipped_topologies())


def show_topology(command: ShowTopology, _context: Context) -> TopologyDescription:
    """What is in a topology.

    Raises:
        InvalidInput: there is none, or its file can't be read as one.
    """
    topology = read_topology(command.name)
    waves, problem = _waves(topology)
    names = sorted(topology.services, key=lambda name: (waves.get(name, 0), name))
    return TopologyDescription(
        summary=_summary(topology),
        services=tuple(_service(topology, name, waves.get(name)) for name in names),
        journeys=_journeys(topology),
        launch_problem=problem,
    )


def _summary(topology: Topology) -> TopologySummary:
    services = topology.services.values()
    return TopologySummary(
        name=topology.name,
        entry=topology.entry,
        services=len(services),
        instances=sum(each.replicas for each in services),
        databases=sum(each.type == "database" for each in services),
        calls=len(topology.edges()),
        journeys=len(topology.journeys),
        memory_bytes=topology_memory_bytes(topology),
    )


def _waves(topology: Topology) -> tuple[dict[str, int], str]:
    """The wave of each service, and why there are none."""
    orders = {name: each.launch_order for name, each in topology.services.items()}
    try:
        waves = launch_waves(orders, topology.edges())
    except InvalidInput as error:
        # It runs on this machine nevertheless, where all are started at once.
        return {}, str(error)
    return {name: number for number, wave in enumerate(waves, start=1) for name in wave}, ""


def _service(topology: Topology, name: str, wave: int | None) -> ServiceSummary:
    service = topology.services[name]
    return ServiceSummary(
        name=name,
        type=service.type,
        launch_order=service.launch_order,
        wave=wave,
        replicas=service.replicas,
        output_label=service.output_label,
        endpoints=tuple(sorted(service.endpoints)),
        calls=topology.callees(name),
    )


def _journeys(topology: Topology) -> tuple[JourneySummary, ...]:
    total = sum(each.weight for each in topology.journeys)
    return tuple(
        JourneySummary(
            name=each.name, share=each.weight / total, steps=tuple(step.endpoint for step in each.steps)
        )
        for each in topology.journeys
    )
