"""Hosts and containers of this machine: a container is an instance of the topology behind its sidecar.

::

    launch, stop ─► supervisor ─► workload + sidecar of each container
                        │
                        └─ started, ended ─► follower ─► target.json (faults, meter), peers.json (callers)

Bytes between containers take as long as light through fibre between the places of their hosts. Hosts are
held to their processors and memory by control groups, where there are any (`HostGroups`).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.driver import (
    ContainerPlan,
    ContainerSeen,
    HostPlan,
    HostSeen,
    check_same,
)
from microservo.platforms.local.commands import (
    LOADGEN,
    SIDECAR,
    TargetCommands,
    loopback_url,
    new_instance,
    renewed,
)
from microservo.platforms.local.host_groups import HostGroups
from microservo.platforms.local.hosts import LocalHosts
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.peers import LOOK_S, write_peers
from microservo.platforms.local.region_cuts import RegionCuts
from microservo.platforms.local.state import Collector, Loadgen, LocalInstance, TargetState, write_state
from microservo.platforms.local.token import VARIABLE
from microservo.runtime.probe import is_healthy, sample
from microservo.supervision.supervisor import ProcessSpec, Supervisor

_ASK_S = 0.05
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Container:
    plan: ContainerPlan
    place: Coordinates
    managed_by: str
    launched_us: int
    instance: LocalInstance
    was_ready: bool = False
    is_draining: bool = False
    has_sidecar: bool = True


class LocalContainers:
    """The hosts and containers of one target; several threads may ask.

    Args:
        supervisor: keeps the processes, and ends them with itself.
        place: what they share.
        groups: hold hosts to their shares; by default nothing does.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        place: LocalPlace,
        *,
        groups: HostGroups | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._supervisor = supervisor
        self._place = place
        self._clock = clock
        self._commands = TargetCommands(
            topology_path=place.topology_path, peers=place.peers, otlp_url=place.otlp_url, seed=place.seed
        )
        # The supervisor waits for nobody while it reports, so it gets a lock that is held for moments only.
        self._reports = threading.Lock()
        self._reported: list[tuple[str, int | None, int]] = []
        self._lock = threading.RLock()
        self._groups = groups or HostGroups()
        self._hosts = LocalHosts(place.start_s, clock, self._groups)
        self._containers: dict[str, _Container] = {}
        self._cuts = RegionCuts(place.control_token)
        self._loadgen = Loadgen(pid=None, control_url=loopback_url(free_ports(1)[0]))
        self._closing = threading.Event()
        self._changed = threading.Event()
        self._write()
        supervisor.add_listener(self._on_change)
        self._follower = threading.Thread(target=self._follow, name="local-containers", daemon=True)
        self._follower.start()

    def start_users(self, journeys_per_s: float, place: Coordinates | None = None) -> None:
        """Has users come at this rate, once; from this place, or from beside each container.

        Raises:
            InvalidInput: they come already.
        """
        argv = self._commands.loadgen(self._loadgen.control_url, journeys_per_s, place)
        self._supervisor.start(self._spec(LOADGEN, argv, LOADGEN))

    def close(self) -> None:
        """Removes the state file, so that no target is found; the supervisor ends the processes."""
        self._closing.set()
        self._changed.set()
        self._follower.join()
        self._place.state_file.unlink(missing_ok=True)

    def start_host(self, plan: HostPlan) -> None:
        """As `Driver.start_host`."""
        with self._lock:
            self._hosts.start(plan)

    def stop_host(self, name: str) -> None:
        """As `Driver.stop_host`."""
        with self._lock:
            self._hosts.stop(name)
            there = [each.plan.id for each in self._on(name)]
        self._end(there)
        with self._lock:
            self._groups.end(name)

    def hosts(self) -> list[HostSeen]:
        """As `Driver.hosts`."""
        with self._lock:
            return self._hosts.seen()

    def launch(self, plan: ContainerPlan, managed_by: str) -> ContainerSeen:
        """As `Driver.launch`, for this manager."""
        with self._lock:
            known = self._containers.get(plan.id)
            if known is not None:
                check_same(plan, known.plan)
                return self._seen(known)
            self._check(plan)
            instance = new_instance(plan.service, plan.id, _four_ports())
            place = self._hosts.plan(plan.host).coordinates
            new = _Container(plan, place, managed_by, self._clock(), instance)
            self._supervisor.start_all(self._specs(new))
            self._containers[plan.id] = new
            self._changed.set()
            return self._seen(new)

    def stop(self, container_id: str, managed_by: str, drain_s: float) -> int | None:
        """As `Driver.stop`, for this manager."""
        with self._lock:
            known = self._containers.get(container_id)
            if known is None or known.managed_by != managed_by:
                return None
            self._hosts.check_reached(known.plan.host)
            known.is_draining = True
            self._write()
        left = self._drain(known, time.monotonic() + drain_s) if known.was_ready and drain_s > 0 else None
        self._end([container_id])
        return left

    def containers(self, managed_by: str) -> list[ContainerSeen]:
        """As `Driver.containers`, for this manager."""
        with self._lock:
            return [
                self._seen(each)
                for _, each in sorted(self._containers.items())
                if each.managed_by == managed_by and not self._hosts.is_down(each.plan.host)
            ]

    def host_of(self, container_id: str) -> str:
        """The host of a container.

        Raises:
            InvalidInput: there is none of this id.
        """
        with self._lock:
            known = self._containers.get(container_id)
        if known is None:
            msg = f"there is no container {container_id!r}"
            raise InvalidInput(msg)
        return known.plan.host

    def fail_host(self, name: str, fault_id: str) -> int:
        """Has a host be down, and what runs there end at once; how many containers that are."""
        with self._lock:
            self._hosts.fail(name, fault_id)
            ended = [each for each in self._on(name) if self._exit_code(each) is None]
            sidecars = [each for each in self._on(name) if each.has_sidecar]
            for each in sidecars:
                each.has_sidecar = False
        for each in ended:
            self._supervisor.kill_one(each.plan.id)
        self._supervisor.stop_all([each.plan.id + SIDECAR for each in sidecars])
        return len(ended)

    def mend_host(self, name: str, fault_id: str) -> bool:
        """Has a host start again, unless another fault holds it down; whether it does."""
        with self._lock:
            return self._hosts.mend(name, fault_id)

    def cut_region(self, host: str, fault_id: str) -> tuple[str, int]:
        """Cuts the region of a host off from the rest, as long as the fault lasts.

        Returns:
            The region, and how many sidecars see to it by now.

        Raises:
            Retryable: one of them does not answer; call again.
        """
        with self._lock:
            region = self._cuts.begin(fault_id, self._hosts.plan(host).coordinates)
            there = self._with_sidecars()
        return region, self._at(there, self._tell)

    def mend_region(self, fault_id: str) -> int:
        """Ends that at all sidecars; how many there are. Raises as `cut_region`."""
        self._cuts.end(fault_id)
        with self._lock:
            there = self._with_sidecars()
        return self._at(there, lambda each: self._cuts.take_back(each.instance.sidecar_url, fault_id))

    def _with_sidecars(self) -> list[_Container]:
        return [each for each in self._containers.values() if each.has_sidecar]

    def _at(self, containers: Iterable[_Container], act: Callable[[_Container], None]) -> int:
        """Acts at each that answers; who is not ready yet is told before it is."""
        reached = 0
        for each in containers:
            try:
                act(each)
            except Retryable:
                if each.was_ready and self._is_there(each):
                    raise
            else:
                reached += 1
        return reached

    def _is_there(self, container: _Container) -> bool:
        with self._lock:
            return container.has_sidecar and container.plan.id in self._containers

    def _tell(self, container: _Container) -> None:
        # Its own place: the host may be gone by now, and this one with it.
        self._cuts.tell(container.instance.sidecar_url, container.place)

    def _check(self, plan: ContainerPlan) -> None:
        services = self._place.topology.services
        if not _ID.fullmatch(plan.id) or plan.id.endswith(SIDECAR) or plan.id == LOADGEN:
            msg = f"{plan.id!r} can't be an id here; take letters, digits, '.', '_', '-', e.g. cart-7f3a"
            raise InvalidInput(msg)
        if plan.volume is not None:
            msg = f"{plan.id} wants volume {plan.volume!r}; containers here keep nothing, so ask for none"
            raise InvalidInput(msg)
        if plan.service not in services:
            msg = f"there is no service {plan.service!r}; choose one of {sorted(services)}"
            raise InvalidInput(msg)
        running = [each for each in self._on(plan.host) if self._exit_code(each) is None]
        self._hosts.check_takes(plan, [each.plan for each in running], services)

    def _on(self, host: str) -> list[_Container]:
        return [each for each in self._containers.values() if each.plan.host == host]

    def _drain(self, container: _Container, until_s: float) -> int | None:
        """Waits until callers have looked again and the sidecar has passed on every answer.

        Returns:
            How many answers it had still to pass on at the last look; None where it did not say.
        """
        look_s = time.monotonic() + 2 * LOOK_S
        left: float | None = None
        while (now_s := time.monotonic()) < until_s:
            if self._exit_code(container) is not None:
                return None
            if now_s > look_s:
                left = sample(container.instance.sidecar_url, "sidecar_requests_active")
                if left == 0:
                    break
            if self._closing.wait(_ASK_S):
                break
        return None if left is None else round(left)

    def _end(self, ids: Iterable[str]) -> None:
        with self._lock:
            ended = [self._containers.pop(each) for each in ids if each in self._containers]
            self._write()
        self._supervisor.stop_all([name for each in ended for name in _processes(each)])

    def _exit_code(self, container: _Container) -> int | None:
        with self._lock:
            is_known = container.plan.id in self._containers
            return self._supervisor.exit_code(container.plan.id) if is_known else None

    def _seen(self, container: _Container) -> ContainerSeen:
        plan = container.plan
        exit_code = self._supervisor.exit_code(plan.id)
        return ContainerSeen(
            id=plan.id,
            service=plan.service,
            host=plan.host,
            address=f"127.0.0.1:{container.instance.sidecar_port}",
            ready=container.was_ready and exit_code is None,
            started_us=container.launched_us,
            exit_code=exit_code,
            managed_by=container.managed_by,
        )

    def _on_change(self, name: str, pid: int | None) -> None:
        """Runs on the supervisor's thread."""
        with self._reports:
            self._reported.append((name, pid, self._clock()))
        self._changed.set()

    def _follow(self) -> None:
        """Writes down what has started, got ready or ended."""
        while not self._closing.is_set():
            is_changed = self._changed.wait(_ASK_S)
            self._changed.clear()
            try:
                if self._find_ready() or is_changed:
                    with self._lock:
                        self._write()
            except OSError:
                # Tried again at the next look; the disk may have room by then.
                _log.exception("the state of the target can't be written")
                self._closing.wait(_ASK_S)
                self._changed.set()

    def _find_ready(self) -> bool:
        with self._lock:
            waiting = [each for each in self._containers.values() if not each.was_ready]
        ready = [each for each in waiting if _answers(each.instance)]
        for each in ready:
            # What is cut off must not be reached for a moment.
            each.was_ready = self._at([each], self._tell) > 0
        return any(each.was_ready for each in ready)

    def _write(self) -> None:
        """Brings both files up to date; with the lock held."""
        with self._reports:
            reported, self._reported = self._reported, []
        for name, pid, at_us in reported:
            if name == LOADGEN:
                self._loadgen = replace(self._loadgen, pid=pid)
            for each in self._containers.values():
                each.instance = renewed(each.instance, name, pid, at_us)
                if pid is not None and name in (each.plan.id, each.plan.id + SIDECAR):
                    self._groups.add(each.plan.host, pid)
        peers: dict[str, list[str]] = {}
        for each in self._containers.values():
            if self._seen(each).ready and not each.is_draining:
                peers.setdefault(each.plan.service, []).append(loopback_url(each.instance.sidecar_port))
        write_peers(self._place.peers, peers)
        write_state(self._place.state_file, self._state())

    def _state(self) -> TargetState:
        topology, collector_url = self._place.topology, self._place.collector_url
        return TargetState(
            topology=topology.name,
            updated_at_us=self._clock(),
            edges=((LOADGEN, topology.entry), *topology.edges()),
            instances=tuple(each.instance for each in self._containers.values()),
            loadgen=self._loadgen,
            control_token=self._place.control_token,
            # Another one's process; whoever restarts it gives it the same port.
            collector=Collector(pid=None, control_url=collector_url) if collector_url else None,
            launcher_url=self._place.launcher_url,
        )

    def _specs(self, new: _Container) -> list[ProcessSpec]:
        plan, data = new.plan, self._place.folder / "data" / new.plan.id
        sidecar = self._spec(plan.id + SIDECAR, self._commands.sidecar(new.instance, new.place), plan.id)
        workload = self._spec(plan.id, self._commands.workload(new.instance, data, new.place), plan.id)
        return [sidecar, replace(workload, env={**plan.environment, **workload.env}, restart="never")]

    def _spec(self, name: str, argv: tuple[str, ...], log: str) -> ProcessSpec:
        place = self._place
        env = {VARIABLE: place.control_token}
        return ProcessSpec(name=name, argv=argv, env=env, log=place.folder / "logs" / f"{log}.log")


def _answers(instance: LocalInstance) -> bool:
    return is_healthy(instance.control_url) and is_healthy(instance.sidecar_url)


def _processes(container: _Container) -> tuple[str, ...]:
    """Names of those that the supervisor keeps for it."""
    name = container.plan.id
    return (name + SIDECAR, name) if container.has_sidecar else (name,)


def _four_ports() -> tuple[int, int, int, int]:
    first, second, third, fourth = free_ports(4)
    return first, second, third, fourth
