"""Carries decisions out through a driver: several at once, one after the other on one subject."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from microservo.domain.geography import Coordinates
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.entities import Container, Host, Service
from microservo.errors import InvalidInput, MicroServoError, Retryable, Unavailable
from microservo.platforms.driver import ContainerPlan, Driver, HostPlan

logger = logging.getLogger(__name__)

Told = Callable[[int], events.Event]
"""An event, once it is known when it is told."""
DRAIN_S = 5.0
"""Requests in flight get so long when a container is stopped."""
ATTEMPTS = 5
PAUSE_S = 0.5
_AT_ONCE = 8


class Performer:
    """Does what a manager decides.

    Args:
        driver: that does it.
        told: takes what came of it.
        host_of: gives a host by its name; None where there is none.
        service_of: gives a service likewise.
    """

    def __init__(
        self,
        driver: Driver,
        told: queue.SimpleQueue[Told],
        *,
        host_of: Callable[[str], Host | None],
        service_of: Callable[[str], Service | None],
    ) -> None:
        self._driver = driver
        self._told = told
        self._host_of = host_of
        self._service_of = service_of
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="perform")
        self._lock = threading.Condition()
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._closed = threading.Event()

    def do(self, action: act.Action) -> None:
        """Begins an action, once those before it on the same subject are done; returns at once."""
        make = _DOERS.get(type(action))
        if make is not None:
            subject, act_now = make(self, action)
            self._queue(subject, act_now)

    def forget(self, container: str) -> None:
        """Has what is left of a container that ended removed."""
        self._queue(container, lambda: self._forgotten(container))

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether all that was begun is done, within so many seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._waiting, timeout_s)

    def close(self) -> None:
        """Begins nothing any more; what is under way is left to itself."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _queue(self, subject: str, act_now: Callable[[], None]) -> None:
        with self._lock:
            before = self._waiting.get(subject)
            if before is not None:
                before.append(act_now)
                return
            self._waiting[subject] = deque((act_now,))
        self._pool.submit(self._work, subject)

    def _work(self, subject: str) -> None:
        while True:
            with self._lock:
                waiting = self._waiting[subject]
                if not waiting:
                    del self._waiting[subject]
                    self._lock.notify_all()
                    return
                act_now = waiting.popleft()
            try:
                act_now()
            except Exception:
                logger.exception("an action on %s failed in a way that nobody thought of", subject)

    def _say(self, event: type[events.Event], **fields: Any) -> None:
        self._told.put(lambda now_us: event(now_us=now_us, **fields))

    def _launch(self, container: Container) -> None:
        service = self._service_of(container.service)
        plan = ContainerPlan(
            id=container.name,
            service=container.service,
            host=container.host,
            environment=dict(container.environment),
            volume=container.service if service is not None and service.is_stateful else None,
            component=service.component if service is not None else "",
            region=container.region,
        )
        error = self._tried(lambda: self._driver.launch(plan))
        if error:
            self._say(events.LaunchFailed, container=container.name, reason=error)

    def _stop(self, action: act.Stop) -> None:
        error = self._tried(lambda: self._driver.stop(action.container, DRAIN_S))
        if error:
            self._say(events.StopFailed, container=action.container, reason=error)
        else:
            self._say(events.ContainerEnded, container=action.container)

    def _forgotten(self, container: str) -> None:
        error = self._tried(lambda: self._driver.stop(container, 0.0))
        if error:
            logger.warning("what is left of %s stays: %s", container, error)

    def _start_host(self, name: str) -> None:
        host = self._host_of(name)
        if host is None:
            return
        error = self._tried(lambda: self._driver.start_host(plan_of(host)))
        if error:
            self._say(events.HostDown, host=name, reason=error)

    def _join(self, name: str) -> None:
        """The cluster of a driver is the hosts that it sees."""
        error = self._tried(lambda: self._check_up(name))
        if error:
            self._say(events.HostDown, host=name, reason=error)
        else:
            self._say(events.HostJoined, host=name)

    def _check_up(self, name: str) -> None:
        if name not in {each.name for each in self._driver.hosts() if each.up}:
            msg = "it is not up, so it can't join"
            raise Unavailable(msg)

    def _leave(self, action: act.LeaveHost) -> None:
        if not action.stops:
            return
        error = self._tried(lambda: self._driver.stop_host(action.host))
        if error:
            self._say(events.LeaveFailed, host=action.host, reason=error)

    def _no_cloud(self, action: act.LaunchInstance) -> None:
        reason = f"there is no cloud to launch an instance in {action.cloud_region} with; add hosts"
        self._say(events.LaunchFailed, container=action.container, reason=reason)

    def _tried(self, attempt: Callable[[], object]) -> str:
        """Why it can't be done; empty where it was."""
        reason = ""
        for number in range(ATTEMPTS):
            if number and self._closed.wait(PAUSE_S * 2 ** (number - 1)):
                break
            try:
                attempt()
            except Retryable as error:
                reason = str(error)
            except (InvalidInput, Unavailable) as error:
                return str(error)
            except (MicroServoError, OSError) as error:
                return f"{type(error).__name__}: {error}"
            else:
                return ""
        return reason or "the manager ends"


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


_Doer = Callable[[Performer, Any], tuple[str, Callable[[], None]]]
_DOERS: Mapping[type[Any], _Doer] = {
    act.Launch: lambda self, each: (each.container.name, lambda: self._launch(each.container)),
    act.Stop: lambda self, each: (each.container, lambda: self._stop(each)),
    act.StartHost: lambda self, each: (each.host, lambda: self._start_host(each.host)),
    act.JoinHost: lambda self, each: (each.host, lambda: self._join(each.host)),
    act.LeaveHost: lambda self, each: (each.host, lambda: self._leave(each)),
    act.LaunchInstance: lambda self, each: (each.container, lambda: self._no_cloud(each)),
}
"""Subject of each action, and what is done."""
