"""Tells what is new of what a driver sees: hosts that come and go, containers that start and end."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from microservo.domain.manager import events
from microservo.domain.manager.entities import Port
from microservo.platforms.driver import ContainerSeen, Driver, HostSeen
from microservo.runtime.looking import Looking
from services.manager.performing import Told

LOOK_S = 0.25


class Watcher:
    """Looks in a thread of its own until it is closed; at its first look, all that is there is told.

    Args:
        driver: that sees it.
        told: takes what is new.
        forget: takes the name of a container that has ended and was told of.
    """

    def __init__(
        self, driver: Driver, told: queue.SimpleQueue[Told], *, forget: Callable[[str], None]
    ) -> None:
        self._driver = driver
        self._told = told
        self._forget = forget
        self._hosts: Mapping[str, HostSeen] = {}
        self._containers: Mapping[str, ContainerSeen] = {}
        self._looking: Looking | None = None

    def start(self) -> None:
        """Begins to look again and again."""
        self._looking = Looking(self.look, LOOK_S, name="hosts and containers")

    def running(self) -> frozenset[str]:
        """Names of the containers that were running at the last look."""
        return frozenset(name for name, each in self._containers.items() if each.exit_code is None)

    def seen(self) -> Mapping[str, ContainerSeen]:
        """The containers of the last look, by name."""
        return self._containers

    def known_of(self, name: str) -> str:
        """What was seen of a container or host at the last look, in words."""
        container, host = self._containers.get(name), self._hosts.get(name)
        if container is not None:
            ended = f"it has ended with exit code {container.exit_code}"
            runs = f"it runs, {'ready' if container.ready else 'not ready'}"
            return f"at the last look {runs if container.exit_code is None else ended}, on {container.host}"
        if host is not None:
            return f"at the last look it was {'up' if host.up else 'not up'}"
        return "at the last look there was nothing of it"

    def up(self) -> frozenset[str]:
        """Names of the hosts that were up at the last look."""
        return frozenset(name for name, host in self._hosts.items() if host.up)

    def look(self) -> None:
        """Looks once.

        Raises:
            MicroServoError: the driver does not answer.
        """
        hosts = {each.name: each for each in self._driver.hosts()}
        containers = {each.id: each for each in self._driver.containers()}
        before, self._hosts = self._hosts, hosts
        for name, host in hosts.items():
            if host.up and not (name in before and before[name].up):
                self._tell_up(name, containers)
        lost = (name for name, host in before.items() if host.up and not (name in hosts and hosts[name].up))
        if names := tuple(lost):
            self._tell_down(names)
        up = {name for name, host in hosts.items() if host.up}
        self._compare(containers, up)

    def close(self) -> None:
        """Looks no more."""
        if self._looking is not None:
            self._looking.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _tell_up(self, host: str, containers: Mapping[str, ContainerSeen]) -> None:
        running = frozenset(
            each.id for each in containers.values() if each.host == host and each.exit_code is None
        )
        shares = self._hosts[host].shares
        self._told.put(lambda now_us: events.HostUp(now_us=now_us, host=host, shares=shares))
        self._told.put(lambda now_us: events.ContainersFound(now_us=now_us, host=host, running=running))

    def _tell_down(self, hosts: tuple[str, ...]) -> None:
        reason = "it does not answer"
        self._told.put(lambda now_us: events.HostsDown(now_us=now_us, names=hosts, reason=reason))
        # Others may be going through what was seen before.
        self._containers = {name: each for name, each in self._containers.items() if each.host not in hosts}

    def _compare(self, containers: Mapping[str, ContainerSeen], up: set[str]) -> None:
        # What is told must not be newer than what can be seen.
        before, self._containers = self._containers, dict(containers)
        for name, each in containers.items():
            known = before.get(name)
            if each.exit_code is not None:
                if known is None or known.exit_code is None:
                    self._tell_ended(name, f"it ended with exit code {each.exit_code}")
                    self._forget(name)
            elif each.ready and not (known is not None and known.ready):
                self._tell_started(each)
        for name, known in before.items():
            if name not in containers and known.exit_code is None and known.host in up:
                self._tell_ended(name, "it is there no more")

    def _tell_started(self, seen: ContainerSeen) -> None:
        ports = ports_of(seen)
        self._told.put(lambda now_us: events.ContainerStarted(now_us=now_us, container=seen.id, ports=ports))

    def _tell_ended(self, name: str, reason: str) -> None:
        self._told.put(lambda now_us: events.ContainerEnded(now_us=now_us, container=name, reason=reason))


def ports_of(seen: ContainerSeen) -> tuple[Port, ...]:
    """Where callers reach a container, inside and outside of it alike."""
    port = int(seen.address.rpartition(":")[2])
    return (Port(internal=port, external=port),)
