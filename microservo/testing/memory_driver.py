"""Hosts and containers that are only written down: for tests of what decides and of what acts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from microservo.adapters.clock import now_us
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import (
    ContainerPlan,
    ContainerSeen,
    HostPlan,
    HostSeen,
    check_host,
    check_same,
)

_KILLED = -9


@dataclass(slots=True)
class _Host:
    plan: HostPlan
    up_at_us: int
    is_cut_off: bool = False
    is_down: bool = False

    def is_up(self, now_us: int) -> bool:
        return not self.is_cut_off and not self.is_down and now_us >= self.up_at_us


@dataclass(slots=True)
class _Container:
    plan: ContainerPlan
    seen: ContainerSeen


class MemoryInfrastructure:
    """Hosts and containers in memory, that the drivers of several managers may share.

    Args:
        services: that can be launched.
        start_s: how many seconds a host needs to start.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, services: Sequence[str], *, start_s: float = 0.0, clock: Callable[[], int] = now_us
    ) -> None:
        self._services = frozenset(services)
        self._start_us = round(start_s * 1e6)
        self._clock = clock
        self._lock = threading.RLock()
        self._hosts: dict[str, _Host] = {}
        self._containers: dict[str, _Container] = {}
        self._next_port = 20_000

    def end(self, container_id: str, exit_code: int) -> None:
        """Has a container end by itself. Raises KeyError: there is none of this id."""
        with self._lock:
            ended = self._containers[container_id]
            ended.seen = replace(ended.seen, ready=False, exit_code=exit_code)

    def cut_off(self, host: str, *, is_cut_off: bool) -> None:
        """Has the drivers reach a host no longer, or again. Raises KeyError: there is none of this name."""
        with self._lock:
            self._hosts[host].is_cut_off = is_cut_off

    def fail_host(self, host: str, *, is_down: bool) -> None:
        """Has a host fail, and what runs there end; or come back. Raises KeyError, likewise."""
        with self._lock:
            self._hosts[host].is_down = is_down
            if not is_down:
                self._hosts[host].up_at_us = self._clock() + self._start_us
                return
            for each in self._on(host):
                if each.seen.exit_code is None:
                    self.end(each.plan.id, _KILLED)

    def start_host(self, plan: HostPlan) -> None:
        """As `Driver.start_host`."""
        check_host(plan)
        with self._lock:
            known = self._hosts.get(plan.name)
            if known is not None:
                check_same(plan, known.plan)
                return
            self._hosts[plan.name] = _Host(plan, up_at_us=self._clock() + self._start_us)

    def stop_host(self, name: str) -> None:
        """As `Driver.stop_host`."""
        with self._lock:
            host = self._hosts.get(name)
            if host is None:
                return
            _check_reachable(host)
            for each in self._on(name):
                del self._containers[each.plan.id]
            del self._hosts[name]

    def hosts(self) -> list[HostSeen]:
        """As `Driver.hosts`."""
        now = self._clock()
        with self._lock:
            return [
                HostSeen(
                    name=name, up=each.is_up(now), started_us=each.up_at_us if each.up_at_us <= now else 0
                )
                for name, each in sorted(self._hosts.items())
            ]

    def launch(self, plan: ContainerPlan, managed_by: str) -> ContainerSeen:
        """As `Driver.launch`, for this manager."""
        with self._lock:
            known = self._containers.get(plan.id)
            if known is not None:
                check_same(plan, known.plan)
                return known.seen
            self._check_place(plan)
            self._next_port += 1
            seen = ContainerSeen(
                id=plan.id,
                service=plan.service,
                host=plan.host,
                address=f"127.0.0.1:{self._next_port}",
                ready=True,
                started_us=self._clock(),
                exit_code=None,
                managed_by=managed_by,
            )
            self._containers[plan.id] = _Container(plan, seen)
            return seen

    def stop(self, container_id: str, managed_by: str, drain_s: float) -> int | None:
        """As `Driver.stop`, for this manager; nothing is in flight here, so none waits for `drain_s`."""
        with self._lock:
            known = self._containers.get(container_id)
            if known is None or known.seen.managed_by != managed_by:
                return None
            _check_reachable(self._hosts[known.plan.host])
            del self._containers[container_id]
            return 0

    def containers(self, managed_by: str) -> list[ContainerSeen]:
        """As `Driver.containers`, for this manager."""
        now = self._clock()
        with self._lock:
            return [
                each.seen
                for _, each in sorted(self._containers.items())
                if each.seen.managed_by == managed_by and self._hosts[each.plan.host].is_up(now)
            ]

    def _check_place(self, plan: ContainerPlan) -> None:
        if plan.service not in self._services and not plan.component:
            msg = f"there is no service {plan.service!r}; choose one of {sorted(self._services)}"
            raise InvalidInput(msg)
        host = self._hosts.get(plan.host)
        if host is None:
            msg = f"there is no host {plan.host!r}; start it, or choose one of {sorted(self._hosts)}"
            raise InvalidInput(msg)
        if not host.is_up(self._clock()):
            msg = f"host {plan.host} is not up; try again once it is"
            raise Unavailable(msg)

    def _on(self, host: str) -> list[_Container]:
        return [each for each in self._containers.values() if each.plan.host == host]


def _check_reachable(host: _Host) -> None:
    if host.is_cut_off or host.is_down:
        msg = f"host {host.plan.name} is down or cut off; try again once it is back"
        raise Unavailable(msg)
