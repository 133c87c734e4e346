"""Carries decisions out through a driver, and tells what came of each."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from microservo.domain.geography import Coordinates
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.entities import Container, Host, Service
from microservo.errors import Unavailable
from microservo.platforms.driver import ContainerPlan, Driver, HostPlan
from services.manager.calls import PAUSE_S, Call, Calls

logger = logging.getLogger(__name__)

Told = Callable[[int], events.Event]
"""An event, once it is known when it is told."""
DRAIN_S = 5.0
"""Requests in flight get so long when a container is stopped."""


class Performer:
    """Does what a manager decides: each action is done, or told as failed by its deadline.

    Args:
        driver: that does it.
        told: takes what came of it.
        host_of: gives a host by its name; None where there is none.
        service_of: gives a service by its name; None where there is none.
        known_of: what is known of a container or host, in words, for what is told of one that hangs.
        deadlines_s: by kind of action.
        pause_s: before the second attempt.
    """

    def __init__(
        self,
        driver: Driver,
        told: queue.SimpleQueue[Told],
        *,
        host_of: Callable[[str], Host | None],
        service_of: Callable[[str], Service | None],
        known_of: Callable[[str], str],
        deadlines_s: Mapping[type[act.Done], float] = act.DEADLINES_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._driver = driver
        self._told = told
        self._host_of = host_of
        self._service_of = service_of
        self._known_of = known_of
        self._deadlines_s = deadlines_s
        self._calls = Calls(pause_s=pause_s)

    def do(self, action: act.Done) -> None:
        """Begins an action, once those before it on the same subject are over; returns at once."""
        _DOERS[type(action)](self, action)

    def forget(self, container: str) -> None:
        """Has what is left of a container that ended removed."""
        self._call(
            act.Stop,
            container,
            f"the removal of what is left of {container}",
            lambda: self._driver.stop(container, 0.0),
            failed=lambda reason: logger.warning("what is left of %s stays: %s", container, reason),
        )

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether all that was begun is done, or given up, within so many seconds."""
        return self._calls.wait_idle(timeout_s)

    def close(self) -> None:
        """Begins nothing any more; what is under way is left to itself."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self,
        kind: type[act.Done],
        subject: str,
        what: str,
        attempt: Callable[[], object],
        *,
        done: Callable[[], None] = lambda: None,
        failed: Callable[[str], None],
    ) -> None:
        def failed_with_what_is_known(reason: str) -> None:
            known = self._known_of(subject)
            failed(f"{reason}; {known}" if known else reason)

        self._calls.add(
            Call(
                subject=subject,
                what=what,
                attempt=attempt,
                within_s=self._deadlines_s[kind],
                done=done,
                failed=failed,
                given_up=failed_with_what_is_known,
            )
        )

    def _say(self, event: type[events.Event], **fields: Any) -> None:
        self._told.put(lambda now_us: event(now_us=now_us, **fields))

    def _launch(self, action: act.Launch) -> None:
        container = action.container
        plan = self._plan_of(container)
        self._call(
            act.Launch,
            container.name,
            f"the launch of {container.name}",
            lambda: self._driver.launch(plan),
            failed=lambda reason: self._say(events.LaunchFailed, container=container.name, reason=reason),
        )

    def _plan_of(self, container: Container) -> ContainerPlan:
        service = self._service_of(container.service)
        return ContainerPlan(
            id=container.name,
            service=container.service,
            host=container.host,
            environment=dict(container.environment),
            volume=container.service if service is not None and service.is_stateful else None,
            cpus=0.0 if service is None else service.cores,
            component="" if service is None else service.component,
            region=container.region,
        )

    def _stop(self, action: act.Stop) -> None:
        name = action.container
        lost: list[int | None] = []
        self._call(
            act.Stop,
            name,
            f"the stop of {name}",
            lambda: lost.append(self._driver.stop(name, DRAIN_S)),
            done=lambda: self._say(events.ContainerStopped, container=name, requests_lost=lost[-1]),
            failed=lambda reason: self._say(events.StopFailed, container=name, reason=reason),
        )

    def _start_host(self, action: act.StartHost) -> None:
        host = self._host_of(action.host)
        if host is None:
            return
        plan = plan_of(host)
        self._call(
            act.StartHost,
            host.name,
            f"the start of {host.name}",
            lambda: self._driver.start_host(plan),
            failed=lambda reason: self._say(events.HostDown, host=host.name, reason=reason),
        )

    def _join(self, action: act.JoinHost) -> None:
        """The cluster of a driver is the hosts that it sees."""
        name = action.host
        self._call(
            act.JoinHost,
            name,
            f"the joining of {name}",
            lambda: self._check_up(name),
            done=lambda: self._say(events.HostJoined, host=name),
            failed=lambda reason: self._say(events.HostDown, host=name, reason=reason),
        )

    def _check_up(self, name: str) -> None:
        if name not in {each.name for each in self._driver.hosts() if each.up}:
            msg = "it is not up, so it can't join"
            raise Unavailable(msg)

    def _leave(self, action: act.LeaveHost) -> None:
        if not action.stops:
            return
        self._call(
            act.LeaveHost,
            action.host,
            f"the stop of host {action.host}",
            lambda: self._driver.stop_host(action.host),
            failed=lambda reason: self._say(events.LeaveFailed, host=action.host, reason=reason),
        )

    def _launch_instance(self, action: act.LaunchInstance) -> None:
        reason = f"there is no cloud to launch an instance in {action.cloud_region} with; add hosts"
        self._say(events.LaunchFailed, container=action.container, reason=reason)


def plan_of(host: Host) -> HostPlan:
    """What a driver is told of a host."""
    return HostPlan(
        name=host.name,
        region=host.region,
        coordinates=Coordinates(host.latitude, host.longitude),
        cpus=host.cores,
        memory_bytes=round(host.memory_bytes),
        kind=host.place,
    )


_DOERS: Mapping[type[act.Done], Callable[[Performer, Any], None]] = {
    act.Launch: Performer._launch,
    act.Stop: Performer._stop,
    act.StartHost: Performer._start_host,
    act.JoinHost: Performer._join,
    act.LeaveHost: Performer._leave,
    act.LaunchInstance: Performer._launch_instance,
}
