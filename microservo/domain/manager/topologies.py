"""Topologies as applications of the manager."""

from __future__ import annotations

from microservo.domain.manager.entities import App, AppService, Dependency, Entity, Service
from microservo.domain.target_memory import instance_memory_bytes
from microservo.domain.topology import Topology


def application_of(topology: Topology) -> tuple[Entity, ...]:
    """The app that a topology is, its services, and a dependency for each service that calls another.

    None has a minimum of replicas, which the manager would launch at once: where an app is launched is said
    when it is. None has a volume: what an instance holds is gone with it, a database's too. Services keep
    their names, under which telemetry and drivers know them too; so of two topologies that have a service of
    one name only one can be among the entities of a manager.

    Returns:
        The services by name, then the dependencies, then the app: each after what it names.
    """
    services = tuple(
        Service(
            name=each.name,
            type=each.type,
            output_label=each.output_label,
            memory_bytes=float(instance_memory_bytes(each)),
        )
        for _, each in sorted(topology.services.items())
    )
    dependencies = tuple(Dependency(service=name, dependency=other) for name, other in topology.edges())
    app = App(
        name=topology.name,
        services=tuple(
            AppService(service=name, launch_order=each.launch_order)
            for name, each in sorted(topology.services.items())
        ),
    )
    return (*services, *dependencies, app)
