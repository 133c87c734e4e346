"""The world: it carries actions out, measures, fails, and checks what must never be."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import Container, Entity, Host, entity_key
from microservo.domain.manager.policies import RULES
from microservo.domain.manager.simulation.demand import Demand
from microservo.domain.manager.simulation.routing import Flows, nearest_flows
from microservo.domain.manager.state import SystemState
from microservo.domain.placement import CEILING_PERCENT

ActionT = TypeVar("ActionT")
SECOND_US = 1_000_000
FIRST_US = 1_700_000_000_000_000
_IDLE_PERCENT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long things take, in microseconds.

    Attributes:
        launch_us: from the decision to launch a container until it answers; likewise all others.
        measure_us: from one measurement to the next; a multiple of `tick_us`.
        tick_us: how often the manager is told that time has passed, and what is due happens.
    """

    launch_us: int = 2 * SECOND_US
    stop_us: int = SECOND_US
    start_us: int = 20 * SECOND_US
    join_us: int = 3 * SECOND_US
    measure_us: int = 5 * SECOND_US
    tick_us: int = SECOND_US


class World:
    """One manager and what it manages.

    Args:
        entities: what there is at first; containers that are running do run.
        demand: of users.
        delays: how long things take.
        seed: of simulated metrics and of a policy that draws by lot.
        policy: the name of the one that decides.

    Attributes:
        state: the manager's.
        events: all that it was told, in order; deciding them again gives `decisions` again.
        decisions: what came of each event.
    """

    def __init__(
        self,
        entities: Iterable[Entity],
        *,
        demand: Demand | None = None,
        delays: Delays | None = None,
        seed: int = 0,
        policy: str = RULES,
    ) -> None:
        self.demand = demand or Demand()
        self.now_us = FIRST_US
        self.state = SystemState()
        self.events: list[events.Event] = []
        self.decisions: list[tuple[act.Action, ...]] = []
        self.running: dict[str, Container] = {}
        self.unstartable: set[str] = set()
        """Services of which no container starts."""
        self.down: set[str] = set()
        self._delays = delays or Delays()
        self._due: list[tuple[int, int, events.Event]] = []
        self._numbered = 0
        self.tell(events.LifeBegan(now_us=self.now_us, policy=policy, seed=seed))
        for entity in entities:
            if isinstance(entity, Container) and entity.state == "running":
                self.running[entity.name] = entity
            owner = getattr(entity, "managed_by", "") or getattr(entity, "worker", "") or "master"
            self.tell(
                events.EntityChanged(now_us=self.now_us, key=entity_key(entity), entity=entity, owner=owner)
            )
        self.tell(events.CaughtUp(now_us=self.now_us))

    def tell(self, event: events.Event) -> None:
        """Tells the manager something, and does what it wants done."""
        self.events.append(event)
        wanted = decide(self.state, event)
        self.decisions.append(wanted)
        for action in wanted:
            self._do(action)

    def run(self, seconds: float) -> None:
        """Lets time pass: what is due happens, hosts and containers are measured, the manager is told."""
        until_us = self.now_us + round(seconds * SECOND_US)
        while self.now_us < until_us:
            self.now_us += self._delays.tick_us
            while self._due and self._due[0][0] <= self.now_us:
                self._happen(heapq.heappop(self._due)[2])
            if (self.now_us - FIRST_US) % self._delays.measure_us == 0:
                self.measure()
            self.tell(events.TimePassed(now_us=self.now_us))

    def measure(self) -> None:
        """Tells what would be measured of all hosts and containers, and where requests come from."""
        for service in self.demand.origins:
            counts = self.demand.counts(service, self._delays.measure_us / SECOND_US, self.now_us)
            self.tell(events.LocationsSeen(now_us=self.now_us, service=service, counts=counts))
        names = tuple(sorted(self.running))
        found = [self.running[name] for name in names]
        shares = self._shares(found)
        cores = np.array([self.state.hosts[each.host].cores for each in found])
        requests = shares / self.demand.cores_per_request
        columns = {"cpu-%": 100 * shares / cores, "rx-bytes-per-sec": 1000 * requests}
        self.tell(events.ContainersMeasured(now_us=self.now_us, names=names, columns=columns))
        self._measure_hosts(found, shares)

    def _shares(self, containers: list[Container]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Processors that each container keeps busy."""
        by_service: dict[str, list[int]] = {}
        for row, each in enumerate(containers):
            by_service.setdefault(each.service, []).append(row)
        requests = np.zeros(len(containers))
        for service, rows in by_service.items():
            if self.demand.routing == "even":
                requests[rows] = self.demand.rate(service) / len(rows)
            else:
                flows = self.flows([containers[row] for row in rows])
                requests[rows] = np.bincount(flows.container, flows.requests_per_s, minlength=len(rows))
        return requests * self.demand.cores_per_request

    def flows(self, containers: Sequence[Container]) -> Flows:
        """Where the requests to a service go, if each goes to the nearest region that has room.

        Args:
            containers: all of the service that run, one or more.
        """
        origins = self.demand.origins.get(containers[0].service, ())
        places = [self.state.place_of(each) for each in containers]
        regions = [self.state.hosts[each.host].region for each in containers]
        capacity = [self._capacity_per_s(each.host) for each in containers]
        return nearest_flows(origins, places, regions, capacity)

    def _capacity_per_s(self, host: str) -> float:
        """Requests per second that keep a container there busy: those of a host share its processors."""
        sharing = sum(name in self.running for name in self.state.by_host.get(host, ()))
        cores = min(self.demand.cores_per_container, self.state.hosts[host].cores / max(sharing, 1))
        return cores / self.demand.cores_per_request

    def _measure_hosts(
        self, containers: list[Container], shares: np.ndarray[tuple[int], np.dtype[np.float64]]
    ) -> None:
        hosts = [host for host in self.state.hosts.values() if host.name not in self.down]
        hosts = [host for host in hosts if host.state == "running"]
        used = dict.fromkeys((host.name for host in hosts), 0.0)
        busy = dict.fromkeys(used, 0.0)
        for each, share in zip(containers, shares.tolist(), strict=True):
            used[each.host] += self.state.need(each.service).memory_bytes
            busy[each.host] += share
        columns = {
            "cpu-%": np.array([_IDLE_PERCENT + 100 * busy[host.name] / host.cores for host in hosts]),
            "ram-%": np.array([100 * used[host.name] / host.memory_bytes for host in hosts]),
            "ram-available": np.array([host.memory_bytes - used[host.name] for host in hosts]),
            "disk-available": np.array([host.disk_bytes for host in hosts]),
        }
        names = tuple(host.name for host in hosts)
        self.tell(events.HostsMeasured(now_us=self.now_us, names=names, columns=columns))

    def kill(self, container: str) -> None:
        """A container ends by itself."""
        del self.running[container]
        self.tell(events.ContainerEnded(now_us=self.now_us, container=container, reason="it was killed"))

    def fail(self, hosts: Collection[str]) -> None:
        """Hosts fail, with all that runs on them."""
        self.down |= set(hosts)
        for name in [name for name, each in self.running.items() if each.host in self.down]:
            del self.running[name]
        self.tell(events.HostsDown(now_us=self.now_us, names=tuple(hosts), reason="it does not answer"))

    def _later(self, after_us: int, event: events.Event) -> None:
        self._numbered += 1
        heapq.heappush(self._due, (self.now_us + after_us, self._numbered, event))

    def _do(self, action: act.Action) -> None:
        delays, now_us = self._delays, self.now_us
        if isinstance(action, act.Launch):
            started = events.ContainerStarted(
                now_us=now_us, container=action.container.name, ports=action.container.ports
            )
            self._later(delays.launch_us, started)
        elif isinstance(action, act.Stop):
            stopped = events.ContainerStopped(now_us=now_us, container=action.container, requests_lost=None)
            self._later(delays.stop_us, stopped)
        elif isinstance(action, act.StartHost):
            self._later(delays.start_us, events.HostUp(now_us=now_us, host=action.host))
        elif isinstance(action, act.JoinHost):
            self._later(delays.join_us, events.HostJoined(now_us=now_us, host=action.host))
        elif isinstance(action, act.LaunchInstance):
            self._later(delays.start_us, self._instance(action))

    def _instance(self, action: act.LaunchInstance) -> events.Event:
        container = self.state.containers[action.container]
        host = Host(
            name=f"i-{self._numbered}",
            place="cloud",
            latitude=container.latitude,
            longitude=container.longitude,
            region=container.region,
            state="running",
            memory_bytes=float(8 << 30),
            cores=2.0,
            disk_bytes=float(100 << 30),
            is_ours=True,
            cloud_region=action.cloud_region,
        )
        return events.InstanceLaunched(now_us=self.now_us, host=host, container=action.container)

    def _happen(self, event: events.Event) -> None:
        """Something that was begun is done now, if nothing has come between."""
        if isinstance(event, events.ContainerStarted):
            self._start(event.container)
        elif isinstance(event, events.ContainerStopped):
            if self.running.pop(event.container, None) is not None:
                self.tell(replace(event, now_us=self.now_us))
        elif isinstance(event, events.HostUp) and event.host not in self.down:
            self.tell(events.HostUp(now_us=self.now_us, host=event.host))
        elif isinstance(event, events.HostJoined) and event.host not in self.down:
            self.tell(events.HostJoined(now_us=self.now_us, host=event.host))
        elif isinstance(event, events.InstanceLaunched):
            self.tell(events.InstanceLaunched(now_us=self.now_us, host=event.host, container=event.container))

    def _start(self, name: str) -> None:
        container = self.state.containers.get(name)
        if container is None or container.host in self.down:
            return
        if container.service in self.unstartable:
            self.tell(events.LaunchFailed(now_us=self.now_us, container=name, reason="it does not start"))
            return
        self.running[name] = container
        self.tell(events.ContainerStarted(now_us=self.now_us, container=name, ports=container.ports))

    def violations(self) -> list[str]:
        """Services below their minimum, and hosts that are fuller than allowed."""
        found = []
        counts: dict[str, int] = {}
        used: dict[str, float] = {}
        for each in self.running.values():
            counts[each.service] = counts.get(each.service, 0) + 1
            used[each.host] = used.get(each.host, 0.0) + self.state.need(each.service).memory_bytes
        for service in self.state.services.values():
            minimum = self.state.minimum(service, self.now_us)
            if counts.get(service.name, 0) < minimum:
                found.append(f"{service.name} has {counts.get(service.name, 0)} of {minimum} replicas")
        for host, memory in used.items():
            full = 100 * memory / self.state.hosts[host].memory_bytes
            if full >= CEILING_PERCENT:
                found.append(f"{host} is full to {full:.0f} %")
        return found

    def actions(self, kind: type[ActionT]) -> list[ActionT]:
        """All that the manager wanted done of a kind, in order."""
        return [action for wanted in self.decisions for action in wanted if isinstance(action, kind)]
