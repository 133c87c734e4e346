"""Whether this machine has the memory that a system takes; asked before anything is started."""

from __future__ import annotations

from microservo.adapters.machine import available_memory_bytes
from microservo.domain.target_memory import COMPONENT_BYTES, topology_memory_bytes
from microservo.domain.topology import Topology
from microservo.errors import Unavailable
from microservo.system.options import SystemOptions

_MIB = 2**20
_GIB = 2**30
# Measured as in `microservo.domain.target_memory`, 40 s after the start: the broker 206 MiB, the pipeline and
# this process 412 MiB together, an algorithm of ours with its host 63 MiB. The projector, which came later,
# has 83 MiB resident. What they keep grows with the run, and libraries that other algorithms load are larger,
# so these have room.
BROKER_BYTES = 500 * _MIB
PIPELINE_BYTES = 700 * _MIB
REGIONAL_BYTES = 400 * _MIB
"""Collector, registry, launcher and manager took 232 MiB, beside the process that started them."""
ALGORITHM_BYTES = 130 * _MIB


def beside_bytes(options: SystemOptions) -> int:
    """What a system takes beside its target: pipeline, algorithms, manager, broker unless it is one's own."""
    broker = 0 if options.bootstrap_servers else BROKER_BYTES
    regions = {host.region_name for host in options.hosts}
    managing = REGIONAL_BYTES + len(regions) * 3 * COMPONENT_BYTES if regions else 0
    return broker + managing + PIPELINE_BYTES + ALGORITHM_BYTES * len(options.algorithms)


def moved_topology_bytes(topology: Topology) -> int:
    """What a topology takes on hosts: whatever moves is there twice for a while."""
    return 2 * topology_memory_bytes(topology)


def check_memory(
    target: str, *, target_bytes: int, beside_bytes: int, available_bytes: int | None = None
) -> None:
    """Refuses what this machine can't hold.

    Args:
        target: its name.
        target_bytes: what it takes.
        beside_bytes: what else is started.
        available_bytes: what there is; this machine's if not given.

    Raises:
        Unavailable: there is less; with the figures.
    """
    available = available_memory_bytes() if available_bytes is None else available_bytes
    if target_bytes + beside_bytes <= available:
        return
    beside = f", and {_gib(beside_bytes)} for what runs beside it" if beside_bytes else ""
    msg = (
        f"{target} takes {_gib(target_bytes)} of memory{beside}, and {_gib(available)} are available here; "
        "close other programs, or choose a smaller one of `microservo topology list` with --topology"
    )
    raise Unavailable(msg)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
