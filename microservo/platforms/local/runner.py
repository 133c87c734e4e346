"""Runs a topology on this machine: every instance a process with a sidecar before it, and the users' load.

::

    loadgen ─► sidecar ─► frontend-0 ─► sidecar ─► cartservice-0 ─► ...

Ports are chosen once and stay through every restart; so do the entries of the state file.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.domain.topology import Topology
from microservo.platforms.local.commands import (
    LOADGEN,
    SIDECAR,
    TargetCommands,
    loopback_url,
    new_instance,
    renewed,
)
from microservo.platforms.local.peers import write_peers
from microservo.platforms.local.state import Collector, Loadgen, TargetState, write_state
from microservo.platforms.local.token import VARIABLE, new_token
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import ProcessSpec, Supervisor

_PORTS_PER_INSTANCE = 4


class LocalTargetRunner:
    """Starts a target under a supervisor and keeps its state file up to date.

    Args:
        supervisor: keeps the processes; it, not this, stops them.
        topology: what to run; `topology_path` is the same as a file, for the processes.
        state_file: the `target.json` that others read (`microservo.platforms.local.state`).
        otlp_url: where telemetry goes, e.g. http://127.0.0.1:4318.
        log_dir: gets one log per process.
        seed: of every chance the processes take.
        journeys_per_s: rate of the users' journeys at the start.
        control_token: what all control APIs ask for, the collector's too; a new one if not given.
        collector: name of the collector's process in the supervisor, and where its control API answers; None
            where others run it.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        topology: Topology,
        topology_path: Path,
        state_file: Path,
        otlp_url: str,
        log_dir: Path,
        seed: int,
        journeys_per_s: float,
        control_token: str | None = None,
        collector: tuple[str, str] | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._supervisor = supervisor
        self._topology = topology
        self._state_file = state_file
        self._peers_file = state_file.with_name("peers.json")
        self._data_dir = state_file.with_name("data")
        self._log_dir = log_dir
        self._commands = TargetCommands(
            topology_path=topology_path, peers=self._peers_file, otlp_url=otlp_url, seed=seed
        )
        self._journeys_per_s = journeys_per_s
        self._control_token = control_token or new_token()
        self._collector = collector
        self._clock = clock
        self._lock = threading.Lock()
        self._state = self._plan()
        self._specs = [*self._instance_specs(), self._loadgen_spec()]

    @property
    def state(self) -> TargetState:
        """The target as it is now."""
        with self._lock:
            return self._state

    @property
    def names(self) -> list[str]:
        """The names of its processes in the supervisor."""
        return [spec.name for spec in self._specs]

    def start(self) -> None:
        """Starts everything: callees and callers at once, the load last, so that it is stopped first."""
        write_peers(self._peers_file, self._peers())
        self._supervisor.add_listener(self._on_change)
        if self._collector is not None:
            # It runs already; later changes come by the listener.
            self._update(self._collector[0], self._supervisor.pids().get(self._collector[0]))
        write_state(self._state_file, self.state)
        *instances, load = self._specs
        self._supervisor.start_all(instances)
        self._supervisor.start(load)

    def wait_ready(self, timeout_s: float) -> None:
        """Waits until every process is healthy. Raises `Unavailable` naming the one that is not."""
        self._supervisor.wait_ready(self.names, timeout_s)

    def close(self) -> None:
        """Removes the state file, so that no target is found; call it when the supervisor has stopped it.

        So it does what instances that were killed have left on their disks.
        """
        self._state_file.unlink(missing_ok=True)
        shutil.rmtree(self._data_dir, ignore_errors=True)

    def _plan(self) -> TargetState:
        names = [
            (name, f"{name}-{number}")
            for name, service in self._topology.services.items()
            for number in range(service.replicas)
        ]
        ports = iter(free_ports(len(names) * _PORTS_PER_INSTANCE + 1))
        return TargetState(
            topology=self._topology.name,
            updated_at_us=self._clock(),
            edges=((LOADGEN, self._topology.entry), *self._topology.edges()),
            instances=tuple(
                new_instance(service, instance, (next(ports), next(ports), next(ports), next(ports)))
                for service, instance in names
            ),
            loadgen=Loadgen(pid=None, control_url=loopback_url(next(ports))),
            control_token=self._control_token,
            collector=self._collector and Collector(pid=None, control_url=self._collector[1]),
        )

    def _peers(self) -> dict[str, list[str]]:
        peers: dict[str, list[str]] = {}
        for instance in self._state.instances:
            peers.setdefault(instance.service, []).append(loopback_url(instance.sidecar_port))
        return peers

    def _instance_specs(self) -> Iterator[ProcessSpec]:
        for number, instance in enumerate(self._state.instances):
            sidecar = self._commands.sidecar(instance)
            workload = self._commands.workload(instance, self._data_dir / instance.id)
            yield self._spec(instance.id + SIDECAR, sidecar, instance.sidecar_url)
            yield self._spec(instance.id, (*workload, "--core", str(number)), instance.control_url)

    def _loadgen_spec(self) -> ProcessSpec:
        control_url = self._state.loadgen.control_url
        return self._spec(LOADGEN, self._commands.loadgen(control_url, self._journeys_per_s), control_url)

    def _spec(self, name: str, argv: tuple[str, ...], health_url: str) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=argv,
            env={VARIABLE: self._state.control_token},
            log=self._log_dir / f"{name}.log",
            ready=lambda: is_healthy(health_url),
        )

    def _on_change(self, name: str, pid: int | None) -> None:
        """Runs on the supervisor's thread, which keeps the writes in order."""
        if name not in self.names and not self._is_collector(name):
            return
        self._update(name, pid)
        self._supervisor.write_document(self._state_file, lambda: write_state(self._state_file, self.state))

    def _update(self, name: str, pid: int | None) -> None:
        now = self._clock()
        with self._lock:
            if self._is_collector(name) and self._state.collector is not None:
                collector = replace(self._state.collector, pid=pid)
                self._state = replace(self._state, updated_at_us=now, collector=collector)
            else:
                self._state = _changed(self._state, name, pid, now)

    def _is_collector(self, name: str) -> bool:
        return self._collector is not None and name == self._collector[0]


def _changed(state: TargetState, name: str, pid: int | None, now_us: int) -> TargetState:
    if name == LOADGEN:
        return replace(state, updated_at_us=now_us, loadgen=replace(state.loadgen, pid=pid))
    instances = tuple(renewed(each, name, pid, now_us) for each in state.instances)
    return replace(state, updated_at_us=now_us, instances=instances)
