"""Hosts and containers of this machine: a container is an instance of the topology behind its sidecar.

Shares of processor and memory are not enforced, they are only kept in the host's plan.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.topology import Topology
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import (
    ContainerPlan,
    ContainerSeen,
    HostPlan,
    HostSeen,
    check_host,
    check_same,
)
from microservo.platforms.local.peers import LOOK_S, write_peers
from microservo.platforms.local.token import VARIABLE
from microservo.runtime.probe import is_healthy, sample
from microservo.supervision.supervisor import ProcessSpec, Supervisor

_SIDECAR = "-sidecar"
_ASK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlace:
    """What all containers of a target share.

    Attributes:
        topology: that says what services are, in the file `topology_path` for the processes.
        folder: gets logs, data and the file of peers.
        otlp_url: where telemetry goes.
        control_token: what control APIs ask for.
        start_s: how many seconds a host needs to start.
        seed: of every chance.
    """

    topology: Topology
    topology_path: Path
    folder: Path
    otlp_url: str
    control_token: str
    start_s: float = 2.0
    seed: int = 0

    @property
    def peers(self) -> Path:
        """The file of addresses."""
        return self.folder / "peers.json"


@dataclass(slots=True)
class _Container:
    plan: ContainerPlan
    managed_by: str
    ports: list[int]
    started_us: int
    was_ready: bool = False
    is_draining: bool = False

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[2]}"

    @property
    def sidecar_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[3]}"


class LocalContainers:
    """The hosts and containers of one target; several threads may ask.

    Args:
        supervisor: keeps the processes.
        place: what they share.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, supervisor: Supervisor, place: LocalPlace, *, clock: Callable[[], int] = now_us
    ) -> None:
        self._supervisor = supervisor
        self._place = place
        self._clock = clock
        self._lock = threading.RLock()
        self._hosts: dict[str, tuple[HostPlan, int]] = {}
        self._containers: dict[str, _Container] = {}
        write_peers(place.peers, {})
        self._closing = threading.Event()
        threading.Thread(target=self._follow, name="local-containers", daemon=True).start()

    def close(self) -> None:
        """Looks at nothing any more; the supervisor ends the processes."""
        self._closing.set()

    def start_host(self, plan: HostPlan) -> None:
        """As `Driver.start_host`."""
        check_host(plan)
        with self._lock:
            if plan.name in self._hosts:
                check_same(plan, self._hosts[plan.name][0])
                return
            self._hosts[plan.name] = plan, self._clock() + round(self._place.start_s * 1e6)

    def stop_host(self, name: str) -> None:
        """As `Driver.stop_host`."""
        with self._lock:
            self._hosts.pop(name, None)
            there = [key for key, each in self._containers.items() if each.plan.host == name]
        for key in there:
            self._end(key)

    def hosts(self) -> list[HostSeen]:
        """As `Driver.hosts`."""
        now = self._clock()
        with self._lock:
            return [
                HostSeen(name=name, up=up_us <= now, started_us=up_us if up_us <= now else 0)
                for name, (_, up_us) in sorted(self._hosts.items())
            ]

    def launch(self, plan: ContainerPlan, managed_by: str) -> ContainerSeen:
        """As `Driver.launch`, for this manager."""
        with self._lock:
            known = self._containers.get(plan.id)
            if known is not None:
                check_same(plan, known.plan)
                return self._seen(known)
            self._check(plan)
            new = _Container(plan, managed_by, free_ports(4), self._clock())
            self._supervisor.start_all(self._specs(new))
            self._containers[plan.id] = new
            return self._seen(new)

    def stop(self, container_id: str, managed_by: str, drain_s: float) -> None:
        """As `Driver.stop`, for this manager."""
        with self._lock:
            known = self._containers.get(container_id)
            if known is None or known.managed_by != managed_by:
                return
            known.is_draining = True
            self._write_peers()
        if known.was_ready and drain_s > 0:
            self._drain(known, time.monotonic() + drain_s)
        self._end(container_id)

    def containers(self, managed_by: str) -> list[ContainerSeen]:
        """As `Driver.containers`, for this manager."""
        with self._lock:
            return [
                self._seen(each)
                for _, each in sorted(self._containers.items())
                if each.managed_by == managed_by
            ]

    def _check(self, plan: ContainerPlan) -> None:
        if plan.service not in self._place.topology.services:
            msg = (
                f"there is no service {plan.service!r}; choose one of {sorted(self._place.topology.services)}"
            )
            raise InvalidInput(msg)
        if plan.host not in self._hosts:
            msg = f"there is no host {plan.host!r}; start it, or choose one of {sorted(self._hosts)}"
            raise InvalidInput(msg)
        if self._hosts[plan.host][1] > self._clock():
            msg = f"host {plan.host} is not up; try again once it is"
            raise Unavailable(msg)

    def _drain(self, container: _Container, until_s: float) -> None:
        look_s = time.monotonic() + 2 * LOOK_S
        while (now_s := time.monotonic()) < until_s:
            if now_s > look_s and sample(container.sidecar_url, "sidecar_requests_active") == 0:
                return
            self._closing.wait(_ASK_S)

    def _end(self, container_id: str) -> None:
        with self._lock:
            if self._containers.pop(container_id, None) is None:
                return
            self._write_peers()
        self._supervisor.stop_all([container_id + _SIDECAR, container_id])

    def _seen(self, container: _Container) -> ContainerSeen:
        plan = container.plan
        exit_code = self._supervisor.exit_code(plan.id)
        return ContainerSeen(
            id=plan.id,
            service=plan.service,
            host=plan.host,
            address=container.address,
            ready=container.was_ready and exit_code is None,
            started_us=container.started_us,
            exit_code=exit_code,
            managed_by=container.managed_by,
        )

    def _follow(self) -> None:
        """Has callers find what has got ready, and no longer what has ended."""
        served: set[str] = set()
        while not self._closing.wait(_ASK_S):
            with self._lock:
                waiting = [each for each in self._containers.values() if not each.was_ready]
            for each in waiting:
                each.was_ready = is_healthy(each.control_url) and is_healthy(each.sidecar_url)
            with self._lock:
                now = {key for key, each in self._containers.items() if self._seen(each).ready}
                if now != served:
                    served = now
                    self._write_peers()

    def _write_peers(self) -> None:
        peers: dict[str, list[str]] = {}
        for each in self._containers.values():
            if self._seen(each).ready and not each.is_draining:
                peers.setdefault(each.plan.service, []).append(f"http://{each.address}")
        write_peers(self._place.peers, peers)

    def _specs(self, new: _Container) -> list[ProcessSpec]:
        place, plan = self._place, new.plan
        port, control_port, listen_port, admin_port = map(str, new.ports)
        sidecar = [*python_argv("services.sidecar"), "--instance", plan.id, "--listen", listen_port]
        sidecar += ["--upstream", f"127.0.0.1:{port}", "--admin-port", admin_port, "--seed", str(place.seed)]
        workload = [*python_argv("services.workload"), "--topology", str(place.topology_path)]
        workload += ["--service", plan.service, "--instance", plan.id, "--port", port]
        workload += ["--control-port", control_port, "--peers", str(place.peers), "--otlp", place.otlp_url]
        workload += [
            "--seed",
            str(place.seed),
            "--data",
            str(place.folder / "data" / (plan.volume or plan.id)),
        ]
        env = {**plan.environment, VARIABLE: place.control_token}
        log = place.folder / "logs" / f"{plan.id}.log"
        return [
            ProcessSpec(name=plan.id + _SIDECAR, argv=tuple(sidecar), env=env, log=log),
            ProcessSpec(name=plan.id, argv=tuple(workload), env=env, log=log, restart="never"),
        ]


class LocalDriver:
    """`Driver` of `LocalContainers`, in the same process.

    Args:
        containers: the hosts and containers.
        managed_by: the manager's tag.
    """

    def __init__(self, containers: LocalContainers, *, managed_by: str) -> None:
        self._local = containers
        self._managed_by = managed_by

    def start_host(self, plan: HostPlan) -> None:
        self._local.start_host(plan)

    def stop_host(self, name: str) -> None:
        self._local.stop_host(name)

    def hosts(self) -> list[HostSeen]:
        return self._local.hosts()

    def launch(self, plan: ContainerPlan) -> ContainerSeen:
        return self._local.launch(plan, self._managed_by)

    def stop(self, container_id: str, drain_s: float) -> None:
        self._local.stop(container_id, self._managed_by, drain_s)

    def containers(self) -> list[ContainerSeen]:
        return self._local.containers(self._managed_by)
