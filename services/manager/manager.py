"""One manager: what it is told goes to the decider, and what that decides is written, published and done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count

from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.action_log import ActionLog
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.decide import decide
from microservo.domain.manager.journal import input_of
from microservo.domain.manager.state import SystemState
from microservo.platforms.driver import ContainerSeen
from schemas.records import ControlCommand, ControlEvent, ManagerInput, ServiceAction
from services.manager.shared import SharedState
from services.manager.watching import ports_of

logger = logging.getLogger(__name__)


class Manager:
    """The decider with all that it decides from and for; belongs to one thread.

    Args:
        name: master, or that of a worker.
        shared: the entities.
        life_us: when this life began, epoch microseconds UTC.
        clock: epoch microseconds UTC.
        policy: name of the one that decides as long as settings name no other.
        seed: of simulated metrics, and of policies that draw by lot.

    Raises:
        InvalidInput: there is no such policy here.

    Attributes:
        state: the decider's.
        life_us: when this life began.
    """

    def __init__(
        self,
        name: str,
        shared: SharedState,
        *,
        life_us: int,
        clock: Callable[[], int],
        policy: str,
        seed: int,
    ) -> None:
        self.state = SystemState(name)
        self.life_us = life_us
        self._shared = shared
        self._clock = clock
        self._numbers = count()
        self._records: list[ManagerInput | ControlEvent | ControlCommand] = []
        self._to_do: list[act.Done] = []
        self._acts = ActionLog()
        self.tell(events.LifeBegan(now_us=self.life_us, policy=policy, seed=seed))

    def begin_after(self, earlier_us: int) -> None:
        """Has this life be later than another one of the same process, whatever the clocks say.

        Args:
            earlier_us: when that one began.
        """
        if self.life_us <= earlier_us:
            self.life_us = earlier_us + 1
            self._records = [
                replace(each, life_us=self.life_us) if isinstance(each, ManagerInput) else each
                for each in self._records
            ]

    def tell(self, event: events.Event) -> None:
        """Tells the decider something, and keeps what it wants."""
        waiting = [event]
        while waiting:
            event = waiting.pop(0)
            self._records.append(self._input(event))
            decided = decide(self.state, event)
            self._acts.observe(event, decided, self.state)
            for action in decided:
                waiting += self._take(action)

    def tell_all(self, found: Iterable[events.Event]) -> None:
        """Tells events one after the other."""
        for event in found:
            self.tell(event)

    def records(self) -> list[ManagerInput | ControlEvent | ControlCommand]:
        """What is to be published since the last time; behind it what was decided may be done."""
        found, self._records = self._records, []
        return found

    def acts(self) -> list[ServiceAction]:
        """What has changed of acts of placement since the last time, for the run that goes on."""
        return self._acts.news()

    def resume_acts(self, left_open: Iterable[ServiceAction]) -> None:
        """Goes on with acts that an earlier life of this process left open."""
        self._acts.resume(left_open, self.state, self._clock())

    def to_do(self) -> list[act.Done]:
        """What a driver is to do since the last time, in this order."""
        found, self._to_do = self._to_do, []
        return found

    def silent(self) -> frozenset[str]:
        """Processes that don't answer."""
        return frozenset(self.state.silent)

    def managed(self, running: Iterable[str]) -> tuple[str, ...]:
        """Those of some running containers that this process manages, by name."""
        found = self.state.containers
        return tuple(sorted(name for name in running if name in found and self.state.manages(found[name])))

    def missing_hosts(self, up: frozenset[str]) -> list[str]:
        """Hosts of this process that shall run, and of which the driver knows nothing."""
        return [
            host.name
            for host in self.state.hosts.values()
            if host.state in ("running", "starting") and self.state.is_mine(host.name) and host.name not in up
        ]

    def absent_hosts(self, up: frozenset[str]) -> list[str]:
        """Hosts of this process that are recorded as running, and that the driver does not reach.

        Args:
            up: hosts that it reaches.
        """
        return [
            host.name
            for host in self.state.hosts.values()
            if host.state == "running" and self.state.is_mine(host.name) and host.name not in up
        ]

    def unheard(self, seen: Mapping[str, ContainerSeen], up: frozenset[str]) -> list[events.Event]:
        """What is otherwise than it is recorded, of containers that this process manages.

        It was told when another process managed them, and nobody will tell it again.

        Args:
            seen: what the driver sees, by name.
            up: hosts that it reaches.
        """
        found: list[events.Event] = []
        now_us = self._clock()
        for container in self.state.containers.values():
            if not self.state.manages(container) or container.host not in up:
                continue
            its = seen.get(container.name)
            runs = its is not None and its.exit_code is None
            if container.state in ("running", "stopping") and not runs:
                reason = f"{container.host} runs it no more"
                found.append(events.ContainerEnded(now_us=now_us, container=container.name, reason=reason))
            elif container.state == "starting" and its is not None and runs and its.ready:
                found.append(
                    events.ContainerStarted(now_us=now_us, container=container.name, ports=ports_of(its))
                )
        return found

    def unrecorded(self, seen: Mapping[str, ContainerSeen], up: frozenset[str]) -> dict[str, str]:
        """Hosts of containers that run on one of this process, and that nothing is recorded of, by name.

        Args:
            seen: what the driver sees, by name.
            up: hosts that it reaches.
        """
        return {
            name: each.host
            for name, each in seen.items()
            if each.exit_code is None
            and each.host in up
            and name not in self.state.containers
            and self.state.is_mine(each.host)
        }

    def stop_all(self) -> None:
        """Has all that managers started stopped; the master's, and nothing is launched in its place."""
        self.tell(events.Ending(now_us=self._clock()))
        if self.state.name == MASTER:
            mine = [host for host in self.state.hosts.values() if host.is_ours and host.state == "running"]
            self._to_do += [act.LeaveHost(host=host.name, stops=True) for host in mine]

    def _take(self, action: act.Action) -> Iterable[events.Event]:
        if isinstance(action, act.Put | act.Remove | act.Assign):
            return self._shared.write(action)
        if isinstance(action, act.Report):
            self._records.append(action.event)
        elif isinstance(action, act.Order):
            self._records.append(action.command)
        else:
            self._to_do.append(action)
        return ()

    def _input(self, event: events.Event) -> ManagerInput:
        kind, document = input_of(event)
        return ManagerInput(
            manager=self.state.name,
            life_us=self.life_us,
            number=next(self._numbers),
            at_us=event.now_us,
            event=kind,
            document=document,
        )
