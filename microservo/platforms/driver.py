"""What launches, stops and inspects hosts and the containers on them; what they use is read from telemetry.

Several implementations, held by one contract suite (`microservo.testing.check_driver`). A driver works for
one manager: it sees and stops only what bears that manager's tag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from microservo.domain.geography.coordinates import Coordinates
from microservo.domain.manager.entities import ComponentType
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """A machine that shall be.

    Attributes:
        name: which no other machine has.
        region: that it lies in.
        coordinates: of the place.
        cpus: cores of a processor that all its containers share.
        memory_bytes: likewise.
    """

    name: str
    region: str
    coordinates: Coordinates
    cpus: float
    memory_bytes: int
    kind: Literal["cloud", "edge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """A machine as it is.

    Attributes:
        up: whether it takes containers; not while it starts, is down or is cut off from the driver.
        started_us: when it was last up for the first time, epoch microseconds UTC; 0 if it never was.
        shares: what holds its containers to its processors and memory, as "cgroup v2"; "accounted" where
            nothing does, and what would be more than that is refused.
    """

    name: str
    up: bool
    started_us: int
    shares: str = "accounted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """A container that shall run.

    Attributes:
        id: which no other container has or had: another incarnation has another one.
        service: of the topology, which says what is run; of a component any name.
        host: name of the machine.
        environment: added to what the service is run with.
        volume: name of the storage that outlives it, on its host; None where it needs none.
        cpus: processors that it is expected to keep busy; 0 where that isn't known. No part of what it is.
        component: what it is run as instead: the registry, load balancer or worker of its region.
        region: that it lies in; empty for the one with the nearest centre.
    """

    id: str
    service: str
    host: str
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    volume: str | None = None
    cpus: float = field(default=0.0, compare=False)
    component: ComponentType = ""
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSeen:
    """A container as it is.

    Attributes:
        address: where callers reach it, as "host:port".
        ready: whether it serves.
        started_us: when its process was started, epoch microseconds UTC.
        exit_code: of its process, -n where signal n ended it; None while it runs.
        managed_by: the tag of who launched it.
    """

    id: str
    service: str
    host: str
    address: str
    ready: bool
    started_us: int
    exit_code: int | None
    managed_by: str


class Driver(Protocol):
    """Hosts and containers of one kind of infrastructure, for one manager. Several threads may ask.

    Every call may be repeated without harm. All raise `Retryable` when the infrastructure does not answer.
    """

    def start_host(self, plan: HostPlan) -> None:
        """Has a machine start, and returns; `hosts` says when it is up. One that runs or starts is left.

        Raises:
            InvalidInput: there is one of this name and another plan, or its plan can't be.
        """

    def stop_host(self, name: str) -> None:
        """Stops a machine, and with it at once all that runs there; none of this name is no error.

        Raises:
            Unavailable: it is cut off.
        """

    def hosts(self) -> Sequence[HostSeen]:
        """The machines that were started and not stopped, by name."""

    def launch(self, plan: ContainerPlan) -> ContainerSeen:
        """Launches a container; returns once its process exists, while `containers` says when it is ready.

        One of this id that is there already is returned as it is, also if it has ended.

        Raises:
            InvalidInput: there is no such host or service, one of this id and another plan, or nothing here
                that a component of this kind needs.
            Unavailable: the host is not up, is cut off, or has no memory or processor left for it.
        """

    def stop(self, container_id: str, drain_s: float) -> int | None:
        """Stops a container and forgets it; none of this id, or of another manager, is no error.

        Callers are sent elsewhere first, and requests in flight are finished.

        Args:
            container_id: which one.
            drain_s: how many seconds requests in flight get; what is left then is lost.

        Returns:
            How many requests were left then; None where they were not counted.

        Raises:
            Unavailable: its host is down or cut off.
        """

    def containers(self) -> Sequence[ContainerSeen]:
        """Our containers by id, on hosts that are up: those that run, and those that ended by themselves.

        What is on hosts that are down or cut off is not seen.
        """


class Infrastructure(Protocol):
    """Hosts and containers that several managers share, each by its tag; else as of `Driver`."""

    def start_host(self, plan: HostPlan) -> None:
        """As `Driver.start_host`."""

    def stop_host(self, name: str) -> None:
        """As `Driver.stop_host`."""

    def hosts(self) -> Sequence[HostSeen]:
        """As `Driver.hosts`."""

    def launch(self, plan: ContainerPlan, managed_by: str) -> ContainerSeen:
        """As `Driver.launch`, for this manager."""

    def stop(self, container_id: str, managed_by: str, drain_s: float) -> int | None:
        """As `Driver.stop`, for this manager."""

    def containers(self, managed_by: str) -> Sequence[ContainerSeen]:
        """As `Driver.containers`, for this manager."""


class TaggedDriver:
    """`Driver` of infrastructure in the same process.

    Args:
        infrastructure: with the hosts and containers.
        managed_by: the manager's tag.
    """

    def __init__(self, infrastructure: Infrastructure, *, managed_by: str) -> None:
        self._infrastructure = infrastructure
        self._managed_by = managed_by

    def start_host(self, plan: HostPlan) -> None:
        self._infrastructure.start_host(plan)

    def stop_host(self, name: str) -> None:
        self._infrastructure.stop_host(name)

    def hosts(self) -> Sequence[HostSeen]:
        return self._infrastructure.hosts()

    def launch(self, plan: ContainerPlan) -> ContainerSeen:
        return self._infrastructure.launch(plan, self._managed_by)

    def stop(self, container_id: str, drain_s: float) -> int | None:
        return self._infrastructure.stop(container_id, self._managed_by, drain_s)

    def containers(self) -> Sequence[ContainerSeen]:
        return self._infrastructure.containers(self._managed_by)


def check_host(plan: HostPlan) -> None:
    """Refuses a plan of a machine that can't be.

    Raises:
        InvalidInput: it has no name, or nothing to run anything with.
    """
    if not plan.name or plan.cpus <= 0 or plan.memory_bytes <= 0:
        msg = f"{plan} is no machine; it needs a name, and more than 0 of cpus and memory_bytes"
        raise InvalidInput(msg)


def check_same(plan: HostPlan | ContainerPlan, known: HostPlan | ContainerPlan) -> None:
    """Refuses a plan that has the name of what was planned otherwise.

    Raises:
        InvalidInput: they differ.
    """
    if plan != known:
        msg = f"there is {known} already, which is not {plan}; stop that, or take another name"
        raise InvalidInput(msg)
