"""How much memory a topology takes when it runs on one machine."""

from __future__ import annotations

from microservo.domain.topology import Service, Topology

_MIB = 2**20
# Measured on Linux with CPython 3.11 as PSS, what a process has for itself and its part of what it shares: of
# sock-shop under four journeys a second 48 MiB beside what services hold, 20.5 and 48 MiB; and room to grow.
WORKLOAD_BYTES = 60 * _MIB
SIDECAR_BYTES = 25 * _MIB
LOADGEN_BYTES = 60 * _MIB
COMPONENT_BYTES = 120 * _MIB
"""What a registry, a load balancer with its nginx, or a worker of a region takes at the most."""


def instance_memory_bytes(service: Service) -> int:
    """What one instance takes at the most with its sidecar, before any fault."""
    held = service.memory_mb + service.heap.collect_mb
    return WORKLOAD_BYTES + SIDECAR_BYTES + round(held * _MIB)


def topology_memory_bytes(topology: Topology) -> int:
    """What all instances take, and the load generator."""
    services = topology.services.values()
    return LOADGEN_BYTES + sum(each.replicas * instance_memory_bytes(each) for each in services)
