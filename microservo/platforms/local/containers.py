"""Hosts and containers of this machine: a container is an instance of the topology behind its sidecar.

A container may be a component of its region instead (`microservo.platforms.local.components`): one process
without a sidecar, no part of the target that faults and meter find.

::

    launch, stop ─► supervisor ─► workload + sidecar of each container
                        │
                        └─ started, ended ─► follower ─► target.json (faults, meter), peers.json (callers)

Bytes between containers take as long as light through fibre between the places of their hosts. Hosts are
held to their processors and memory by control groups, where there are any (`HostGroups`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.driver import ContainerPlan, ContainerSeen, HostPlan, HostSeen, check_same
from microservo.platforms.local.commands import LOADGEN, SIDECAR, loopback_url, renewed
from microservo.platforms.local.components import Component
from microservo.platforms.local.host_groups import HostGroups
from microservo.platforms.local.hosts import LocalHosts
from microservo.platforms.local.launched import Launched, Serving, TakingCalls
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.peers import LOOK_S, Replica, write_peers
from microservo.platforms.local.process_plans import ProcessPlans
from microservo.platforms.local.region_cuts import RegionCuts
from microservo.platforms.local.state import Collector, Loadgen, LocalInstance, TargetState, write_state
from microservo.runtime.probe import sample
from microservo.supervision.supervisor import Supervisor

_ASK_S = 0.05
_log = logging.getLogger(__name__)


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
        self._plans = ProcessPlans(place)
        # The supervisor waits for nobody while it reports, so it gets a lock that is held for moments only.
        self._reports = threading.Lock()
        self._reported: list[tuple[str, int | None, int]] = []
        self._lock = threading.RLock()
        self._groups = groups or HostGroups()
        self._hosts = LocalHosts(place.start_s, clock, self._groups)
        self._containers: dict[str, Launched] = {}
        self._cuts = RegionCuts(place.control_token)
        self._loadgen = Loadgen(pid=None, control_url=loopback_url(free_ports(1)[0]))
        self._is_given_out: Callable[[str], bool] = lambda _: False
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
        self._supervisor.start(self._plans.users(self._loadgen.control_url, journeys_per_s, place))

    def close(self) -> None:
        """Removes the state file, so that no target is found; the supervisor ends the processes."""
        self._closing.set()
        self._changed.set()
        self._follower.join()
        self._place.state_file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes the folders of components, once their processes have ended."""
        for each in self._containers.values():
            if isinstance(each.runs, Component):
                each.runs.clear()

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
            new = self._plans.launched(plan, self._hosts.plan(plan.host), managed_by, self._clock())
            self._supervisor.start_all(self._plans.specs(new))
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
        left = None
        if known.was_ready and drain_s > 0 and known.instance is not None:
            left = self._drain(known, known.instance, time.monotonic() + drain_s)
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

    def taking_calls(self) -> list[TakingCalls]:
        """The containers that callers are given now, of all managers."""
        with self._lock:
            return [
                TakingCalls(
                    id=each.plan.id,
                    service=each.plan.service,
                    url=loopback_url(each.port),
                    pid=each.instance.pid,
                    place=each.place,
                    region=each.region,
                )
                for each in self._containers.values()
                if each.instance is not None and each.instance.pid is not None and self._takes_calls(each)
            ]

    def serving(self) -> list[Serving]:
        """The components of regions that are ready now, of all managers."""
        with self._lock:
            return [
                Serving(
                    id=each.plan.id,
                    kind=each.plan.component,
                    url=each.runs.api_url,
                    place=each.place,
                    region=each.region,
                )
                for each in self._containers.values()
                if isinstance(each.runs, Component) and self._takes_calls(each)
            ]

    def consult(self, is_given_out: Callable[[str], bool]) -> None:
        """Has a container drained no sooner than registries and balancers give it out no more.

        Args:
            is_given_out: whether any does, by the container's id; called without the lock.
        """
        self._is_given_out = is_given_out

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
        return self._at(there, lambda each: self._cuts.take_back(_sidecar_url(each), fault_id))

    def _with_sidecars(self) -> list[Launched]:
        return [each for each in self._containers.values() if each.has_sidecar]

    def _at(self, containers: Iterable[Launched], act: Callable[[Launched], None]) -> int:
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

    def _is_there(self, container: Launched) -> bool:
        with self._lock:
            return container.has_sidecar and container.plan.id in self._containers

    def _tell(self, container: Launched) -> None:
        # Its own place: the host may be gone by now, and this one with it.
        self._cuts.tell(_sidecar_url(container), container.place)

    def _check(self, plan: ContainerPlan) -> None:
        self._plans.check(plan)
        running = [each.plan for each in self._on(plan.host) if self._exit_code(each) is None]
        self._hosts.check_takes(plan, running, self._plans.memory_bytes)

    def _on(self, host: str) -> list[Launched]:
        return [each for each in self._containers.values() if each.plan.host == host]

    def _drain(self, container: Launched, instance: LocalInstance, until_s: float) -> int | None:
        """Waits until callers have looked again and the sidecar has passed on every answer.

        Returns:
            How many answers it had still to pass on at the last look; None where it did not say.
        """
        look_s = time.monotonic() + 2 * LOOK_S
        left: float | None = None
        while (now_s := time.monotonic()) < until_s:
            if self._exit_code(container) is not None:
                return None
            if now_s > look_s and not self._is_given_out(container.plan.id):
                left = sample(instance.sidecar_url, "sidecar_requests_active")
                if left == 0:
                    break
            if self._closing.wait(_ASK_S):
                break
        return None if left is None else round(left)

    def _end(self, ids: Iterable[str]) -> None:
        with self._lock:
            ended = [self._containers.pop(each) for each in ids if each in self._containers]
            self._write()
        self._supervisor.stop_all([name for each in ended for name in each.processes])
        for each in ended:
            if isinstance(each.runs, Component):
                each.runs.clear()

    def _exit_code(self, container: Launched) -> int | None:
        with self._lock:
            is_known = container.plan.id in self._containers
            return self._supervisor.exit_code(container.plan.id) if is_known else None

    def _seen(self, container: Launched) -> ContainerSeen:
        plan = container.plan
        exit_code = self._supervisor.exit_code(plan.id)
        return ContainerSeen(
            id=plan.id,
            service=plan.service,
            host=plan.host,
            address=f"127.0.0.1:{container.port}",
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
        ready = [each for each in waiting if each.answers()]
        for each in ready:
            # What is cut off must not be reached for a moment.
            each.was_ready = not each.has_sidecar or self._at([each], self._tell) > 0
        return any(each.was_ready for each in ready)

    def _write(self) -> None:
        """Brings both files up to date; with the lock held."""
        with self._reports:
            reported, self._reported = self._reported, []
        for name, pid, at_us in reported:
            if name == LOADGEN:
                self._loadgen = replace(self._loadgen, pid=pid)
            for each in self._containers.values():
                if each.instance is not None:
                    each.runs = renewed(each.instance, name, pid, at_us)
                if pid is not None and name in each.processes:
                    self._groups.add(each.plan.host, pid)
        peers: dict[str, list[Replica]] = {}
        for each in self._containers.values():
            if each.instance is not None and self._takes_calls(each):
                replica = Replica(loopback_url(each.port), each.plan.host, each.region)
                peers.setdefault(each.plan.service, []).append(replica)
        write_peers(self._place.peers, peers)
        write_state(self._place.state_file, self._state())

    def _takes_calls(self, container: Launched) -> bool:
        return self._seen(container).ready and not container.is_draining

    def _state(self) -> TargetState:
        topology, collector_url = self._place.topology, self._place.collector_url
        return TargetState(
            topology=topology.name,
            updated_at_us=self._clock(),
            edges=((LOADGEN, topology.entry), *topology.edges()),
            instances=tuple(each.instance for each in self._containers.values() if each.instance is not None),
            loadgen=self._loadgen,
            control_token=self._place.control_token,
            # Another one's process; whoever restarts it gives it the same port.
            collector=Collector(pid=None, control_url=collector_url) if collector_url else None,
            launcher_url=self._place.launcher_url,
        )


def _sidecar_url(container: Launched) -> str:
    assert container.instance is not None, "only containers have sidecars"
    return container.instance.sidecar_url
