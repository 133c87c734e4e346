"""The hosts of this machine: each stands for a group of processes, and runs none of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import ContainerPlan, HostPlan, HostSeen, check_host, check_same
from microservo.platforms.local.host_groups import HostGroups

_MIB = 2**20


@dataclass(slots=True)
class _Host:
    plan: HostPlan
    up_us: int
    held_down_by: set[str] = field(default_factory=set)

    def is_up(self, now_us: int) -> bool:
        return not self.held_down_by and self.up_us <= now_us


class LocalHosts:
    """The hosts by name; belongs to whoever holds the lock of the containers.

    Args:
        start_s: how many seconds a host needs to start.
        clock: epoch microseconds UTC.
        groups: hold hosts to their shares.
    """

    def __init__(self, start_s: float, clock: Callable[[], int], groups: HostGroups) -> None:
        self._start_us = round(start_s * 1e6)
        self._clock = clock
        self._groups = groups
        self._hosts: dict[str, _Host] = {}

    def start(self, plan: HostPlan) -> None:
        """As `Driver.start_host`."""
        check_host(plan)
        known = self._hosts.get(plan.name)
        if known is not None:
            check_same(plan, known.plan)
            return
        self._groups.begin(plan.name, cpus=plan.cpus, memory_bytes=plan.memory_bytes)
        self._hosts[plan.name] = _Host(plan, self._clock() + self._start_us)

    def stop(self, name: str) -> None:
        """Forgets it; none of this name is no error.

        Raises:
            Unavailable: it is down.
        """
        self.check_reached(name)
        self._hosts.pop(name, None)

    def fail(self, name: str, fault_id: str) -> None:
        """Has a host be down as long as the fault holds it. Raises as `plan`."""
        self._known(name).held_down_by.add(fault_id)

    def mend(self, name: str, fault_id: str) -> bool:
        """Has a host start again unless another fault holds it down; whether it does."""
        host = self._hosts.get(name)
        if host is None:
            return False
        host.held_down_by.discard(fault_id)
        if not host.held_down_by:
            host.up_us = self._clock() + self._start_us
        return not host.held_down_by

    def is_down(self, name: str) -> bool:
        """Whether a fault holds it down."""
        host = self._hosts.get(name)
        return host is not None and bool(host.held_down_by)

    def check_reached(self, name: str) -> None:
        """Raises `Unavailable` where a fault holds the host down."""
        if self.is_down(name):
            msg = f"host {name} is down; try again once it is up"
            raise Unavailable(msg)

    def seen(self) -> list[HostSeen]:
        """As `Driver.hosts`."""
        now = self._clock()
        return [
            HostSeen(
                name=name,
                up=each.is_up(now),
                started_us=each.up_us if each.up_us <= now else 0,
                shares=self._groups.enforced,
            )
            for name, each in sorted(self._hosts.items())
        ]

    def plan(self, name: str) -> HostPlan:
        """What was planned. Raises `InvalidInput`: there is none of this name."""
        return self._known(name).plan

    def check_takes(
        self,
        plan: ContainerPlan,
        beside: Iterable[ContainerPlan],
        memory_bytes: Callable[[ContainerPlan], int],
    ) -> None:
        """Refuses a container that a host can't take now.

        What each may take of memory at the most is added up: a host that is held to its share would have to
        kill one of them. Where nothing holds it to its processors, those that each is expected to keep busy
        are added up likewise; where they are held to them, they only get slower.

        Args:
            plan: of the container.
            beside: plans of the containers that run there.
            memory_bytes: what one takes at the most.

        Raises:
            InvalidInput: there is no such host.
            Unavailable: it is not up, or its memory or processors are taken.
        """
        name, there = plan.host, list(beside)
        host = self._known(name)
        if not host.is_up(self._clock()):
            msg = f"host {name} is not up; try again once it is"
            raise Unavailable(msg)
        taken, wanted = sum(map(memory_bytes, there)), memory_bytes(plan)
        if taken + wanted > host.plan.memory_bytes:
            msg = (
                f"host {name} has {host.plan.memory_bytes / _MIB:.0f} MiB of memory, of which its containers "
                f"take {taken / _MIB:.0f}, and {plan.service} takes {wanted / _MIB:.0f}; take another host"
            )
            raise Unavailable(msg)
        busy = sum(each.cpus for each in there)
        if self._groups.enforced == "accounted" and plan.cpus and busy + plan.cpus > host.plan.cpus:
            msg = (
                f"host {name} has {host.plan.cpus:g} processors, of which its containers are expected to "
                f"keep {busy:g} busy, and {plan.service} {plan.cpus:g}; take another host"
            )
            raise Unavailable(msg)

    def _known(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            msg = f"there is no host {name!r}; start it, or choose one of {sorted(self._hosts)}"
            raise InvalidInput(msg)
        return host
