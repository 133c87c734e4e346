"""What hosts and containers use, by what telemetry says of containers and entities of hosts.

The hosts of one machine are groups of processes: what is used of one is what its containers use.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microservo.domain.manager import events
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import Container, Host
from microservo.domain.manager.state import SystemState
from microservo.domain.telemetry import metric_columns
from schemas.records import MetricBatch

CPU, MEMORY = "process.cpu.utilization", "process.memory.usage"
EACH_US = 5_000_000
"""From one account to the next, in microseconds."""
OLD_US = 60_000_000
"""What was measured so long ago says nothing of now."""


class Accounts:
    """The newest values of containers; belongs to one thread."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[int, float]] = {}
        self._counted_us = 0
        self._hosts: frozenset[str] = frozenset()

    def add(self, batch: MetricBatch) -> None:
        """Takes points of metrics; those of instances that are no containers are left in the end."""
        wanted = [number for number, name in enumerate(batch.names) if name in (CPU, MEMORY)]
        if not wanted:
            return
        columns = metric_columns(batch)
        for row in np.flatnonzero(np.isin(columns.name, wanted)).tolist():
            key = batch.instances[columns.instance[row]], batch.names[columns.name[row]]
            at_us = int(columns.time_us[row])
            if at_us >= self._values.get(key, (0, 0.0))[0]:
                self._values[key] = at_us, float(columns.value[row])

    def measured(self, state: SystemState, now_us: int) -> Iterator[events.Measured]:
        """What is measured now, if it is time for it, or there is a host that was not measured yet."""
        hosts = [host for host in state.hosts.values() if _counts(host, state)]
        names = frozenset(host.name for host in hosts)
        if now_us < self._counted_us + EACH_US and names <= self._hosts:
            return
        self._counted_us, self._hosts = now_us, names
        self._values = {key: value for key, value in self._values.items() if value[0] > now_us - OLD_US}
        running = [each for each in state.containers.values() if each.state == "running"]
        measured = [each for each in running if (each.name, CPU) in self._values and each.host in state.hosts]
        if measured:
            yield _of_containers(
                [(each, state.hosts[each.host], *self._used(each)) for each in measured], now_us
            )
        if hosts:
            yield self._of_hosts(hosts, running, state, now_us)

    def _used(self, container: Container) -> tuple[float, float]:
        """Cores and bytes."""
        nothing = (0, 0.0)
        return (
            self._values.get((container.name, CPU), nothing)[1],
            self._values.get((container.name, MEMORY), nothing)[1],
        )

    def _of_hosts(
        self, hosts: list[Host], running: list[Container], state: SystemState, now_us: int
    ) -> events.HostsMeasured:
        cores, memory, disk = (dict.fromkeys((host.name for host in hosts), 0.0) for _ in range(3))
        for each in running:
            if each.host not in cores:
                continue
            used_cores, used_bytes = self._used(each)
            cores[each.host] += used_cores
            # One that has not been measured yet takes what is expected of it.
            memory[each.host] += used_bytes or state.need(each.service).memory_bytes
            disk[each.host] += state.need(each.service).disk_bytes
        names = tuple(host.name for host in hosts)
        return events.HostsMeasured(
            now_us=now_us,
            names=names,
            columns={
                "cpu-%": np.array([100 * cores[host.name] / host.cores for host in hosts]),
                "ram-%": np.array([100 * memory[host.name] / max(host.memory_bytes, 1.0) for host in hosts]),
                "ram-available": np.array([host.memory_bytes - memory[host.name] for host in hosts]),
                "disk-available": np.array([host.disk_bytes - disk[host.name] for host in hosts]),
            },
        )


def _counts(host: Host, state: SystemState) -> bool:
    """Whether this manager may place something there: the master everywhere, a worker on what is its own."""
    is_reached = state.name == MASTER or state.is_mine(host.name)
    return host.state == "running" and host.cores > 0 and is_reached


def _of_containers(
    found: list[tuple[Container, Host, float, float]], now_us: int
) -> events.ContainersMeasured:
    cores = np.array([used for _, _, used, _ in found])
    memory = np.array([used for _, _, _, used in found])
    return events.ContainersMeasured(
        now_us=now_us,
        names=tuple(each.name for each, _, _, _ in found),
        columns={
            "cpu-%": 100 * cores / np.array([max(host.cores, 1e-9) for _, host, _, _ in found]),
            "ram": memory,
            "ram-%": 100 * memory / np.array([max(host.memory_bytes, 1.0) for _, host, _, _ in found]),
        },
    )
