"""What a manager does to services, as facts for the log: each act of placement from its decision to its end.

::

    decided ─────► begun ───────► serving ──────────► ended
    (a decision)   (launching)    (it answers)        launch, replicate, recover: at once
                                                      move: when the old container is gone
    decided ─────► begun ───────────────────────────► ended
                   (stopping)                         stop: when the container is gone

It looks on: told each event with what was decided from it, it keeps account, and decides nothing. What is
done by another process (a worker's containers, for the master) it learns from `system-state`, as the decider
does. An act belongs to the process that decided; who was only ordered to carry it out says nothing of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from microservo.domain.geography import Coordinates
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.action_origins import is_ordered, origin_of
from microservo.domain.manager.entities import GONE, Container
from microservo.domain.manager.state import SystemState
from schemas.records import ActionKind, ActionOutcome, ControlCommand, ControlEvent, ServiceAction

_KINDS: Final[Mapping[str, ActionKind]] = {
    "launch": "launch",
    "replicate": "replicate",
    "migrate": "move",
    "recover": "recover",
    "stop": "stop",
}
"""What decisions about containers are called as acts."""
_COMMANDS_KEPT = 1000


class ActionLog:
    """The acts of placement that one manager has decided and of which more may come.

    A record has no run; whoever publishes it gives it the one that goes on.
    """

    def __init__(self) -> None:
        self._acts: dict[str, ServiceAction] = {}
        """By decision."""
        self._launching: dict[str, str] = {}
        """Decisions by the container that is launched: until it serves, and a move has ended."""
        self._stopping: dict[str, str] = {}
        """Decisions by the container that is or will be stopped, also by a move, until it is gone."""
        self._at_driver: dict[str, str] = {}
        """Those of which a driver was told to stop the container, and has not said yet how that went."""
        self._askers: OrderedDict[str, str] = OrderedDict()
        """Who gave the newest commands, by their ids."""
        self._touched: dict[str, None] = {}
        self._news: list[ServiceAction] = []

    def observe(self, event: events.Event, actions: Iterable[act.Action], state: SystemState) -> None:
        """Enters what an event told, and what was decided from it.

        Args:
            event: as the decider was told it.
            actions: all that was decided.
            state: the decider's, after the decision.
        """
        command = self._told(event)
        for action in actions:
            if isinstance(action, act.Report):
                self._reported(action.event, command, state)
            elif isinstance(action, act.Put):
                if isinstance(action.entity, Container):
                    self._seen(action.entity, event.now_us)
            elif isinstance(action, act.Remove):
                self._removed(action.key, event.now_us)
            elif isinstance(action, act.Stop) and action.container in self._stopping:
                self._at_driver[action.container] = self._stopping[action.container]
        self._collect()

    def resume(self, found: Iterable[ServiceAction], state: SystemState, now_us: int) -> None:
        """Goes on with what an earlier life of the process left open, by what there is of it now.

        Args:
            found: the newest version of each act; those that are final or known are passed over.
            state: the decider's, caught up.
            now_us: epoch microseconds UTC, taken for the end of what has ended since.
        """
        for action in found:
            if action.is_final or action.decision_id in self._acts:
                continue
            self._enter(replace(action, run_id=""), state)
            if action.ended_us is not None:
                # What the driver would have said of it is lost with the earlier life.
                self._set(action.decision_id, is_final=True)
                continue
            for name in [action.container] + [action.replaces] * (action.what == "move"):
                container = state.containers.get(name)
                if container is None:
                    self._gone(name, now_us)
                else:
                    self._seen(container, now_us)
        self._collect()

    def news(self) -> list[ServiceAction]:
        """What has changed since the last time, in this order."""
        found, self._news = self._news, []
        return found

    def _told(self, event: events.Event) -> ControlCommand | None:
        """Enters what an event says by itself; returns the command that it gives."""
        if isinstance(event, events.CommandGiven):
            self._askers[event.command.command_id] = event.command.requested_by or "somebody"
            while len(self._askers) > _COMMANDS_KEPT:
                self._askers.popitem(last=False)
            return event.command
        if isinstance(event, events.EntityChanged):
            if event.entity is None:
                self._removed(event.key, event.now_us)
            elif isinstance(event.entity, Container):
                self._seen(event.entity, event.now_us)
        elif isinstance(event, events.ContainerStopped):
            self._driver_said(event.container, event.requests_lost)
        elif isinstance(event, events.StopFailed):
            self._driver_said(event.container, None)
        return None

    def _reported(self, event: ControlEvent, command: ControlCommand | None, state: SystemState) -> None:
        # A container that bears our tag and that nothing is recorded of is of no known service.
        if not event.container or not event.service:
            return
        if event.state == "failed" and event.action == "stop" and event.container in self._stopping:
            self._end(self._stopping[event.container], event.at_us, "failed")
        elif event.state == "decided" and event.action == "stop":
            is_of_move = event.container in self._stopping or event.container in state.replaced_by
            if not is_of_move and not (command is not None and is_ordered(command, state)):
                self._begin(event, "stop", state)
        elif event.state == "decided" and event.action in _KINDS and event.container not in self._launching:
            self._begin(event, _kind(event, state), state)

    def _begin(self, event: ControlEvent, kind: ActionKind, state: SystemState) -> None:
        container = state.containers.get(event.container)
        from_host, to_host, replaces = event.from_host, event.to_host, ""
        if container is not None and kind == "move":
            replaces = container.replaces
            old = state.containers.get(replaces)
            # Where it is tried again elsewhere, the decision names the host where it failed.
            from_host = old.host if old is not None else from_host
        elif container is not None and kind == "recover":
            # One that waits for the volume on its host is its own next incarnation, and stays there.
            replaces = container.recovers if to_host else ""
            from_host, to_host = from_host or container.host, to_host or container.host
        elif kind in ("launch", "replicate"):
            from_host = ""
        origin, decided_by = origin_of(event, self._askers, state)
        assert state.deployed.policy is not None, "decide gives each state a policy first"
        action = ServiceAction(
            run_id="",
            service=event.service,
            decision_id=event.decision_id,
            version=0,
            manager=event.manager,
            policy=state.deployed.policy.name,
            what=kind,
            origin=origin,
            decided_by=decided_by,
            why=event.reason,
            decided_us=event.at_us,
            container=event.container,
            replaces=replaces,
            from_host=from_host,
            from_region=_region(from_host, state),
            to_host=to_host,
            to_region=_region(to_host, state),
        )
        self._enter(action, state)
        self._touched[action.decision_id] = None

    def _enter(self, action: ServiceAction, state: SystemState) -> None:
        decision = action.decision_id
        self._acts[decision] = action
        if action.what == "stop":
            self._stopping[action.container] = decision
            return
        self._launching[action.container] = decision
        if action.what == "move" and action.replaces in state.containers:
            self._stopping[action.replaces] = decision

    def _seen(self, container: Container, now_us: int) -> None:
        """A container is in another state."""
        decision = self._launching.get(container.name)
        if decision is not None:
            self._seen_launched(decision, container, now_us)
        decision = self._stopping.get(container.name)
        if decision is None or self._acts[decision].what != "stop":
            return
        if container.state == "stopping" and self._acts[decision].begun_us is None:
            self._set(decision, begun_us=now_us)

    def _seen_launched(self, decision: str, container: Container, now_us: int) -> None:
        action = self._acts[decision]
        has_failed = container.state == "given_up" or (
            container.state in GONE and action.begun_us is not None
        )
        if has_failed or (container.state == "stopping" and action.serving_us is None):
            self._end(decision, now_us, "failed")
            return
        if container.state == "starting" and action.begun_us is None:
            self._set(decision, begun_us=now_us)
        if container.state != "running":
            return
        if action.serving_us is None:
            serving_us = container.started_at_us or now_us
            begun_us = serving_us if action.begun_us is None else min(action.begun_us, serving_us)
            self._set(decision, begun_us=begun_us, serving_us=serving_us)
            if action.what != "move":
                self._end(decision, serving_us, "done")
        if action.what == "move" and action.replaces not in self._stopping:
            self._end(decision, now_us, "done")

    def _removed(self, key: str, now_us: int) -> None:
        kind, _, name = key.partition("/")
        if kind == "container":
            self._gone(name, now_us)

    def _gone(self, name: str, now_us: int) -> None:
        """A container is no more."""
        decision = self._launching.get(name)
        if decision is not None:
            self._end(decision, now_us, "failed")
        decision = self._stopping.pop(name, None)
        if decision is None:
            return
        action = self._acts[decision]
        if action.what == "stop":
            # One that had not begun to run is gone at once.
            self._set(decision, begun_us=now_us if action.begun_us is None else action.begun_us)
            self._end(decision, now_us, "done")
        elif action.serving_us is not None:
            self._end(decision, now_us, "done")

    def _end(self, decision: str, at_us: int, outcome: ActionOutcome) -> None:
        action = self._acts[decision]
        stopped = action.container if action.what == "stop" else action.replaces
        if action.what != "stop":
            self._launching.pop(action.container, None)
        if self._stopping.get(stopped) == decision:
            del self._stopping[stopped]
        # Instants of a worker are of its own clock.
        ended_us = max(at_us, action.begun_us or action.decided_us)
        self._set(
            decision,
            ended_us=ended_us,
            outcome=outcome,
            cost_host_s=0.0 if action.begun_us is None else (ended_us - action.begun_us) / 1e6,
            is_final=self._at_driver.get(stopped) != decision,
        )

    def _driver_said(self, container: str, requests_lost: int | None) -> None:
        """A driver has done with a container that it was told to stop."""
        decision = self._at_driver.pop(container, None)
        if decision is not None and decision in self._acts:
            is_over = self._acts[decision].ended_us is not None
            self._set(decision, requests_lost=requests_lost, is_final=is_over)

    def _set(self, decision: str, **changes: Any) -> None:
        self._acts[decision] = replace(self._acts[decision], **changes)
        self._touched[decision] = None

    def _collect(self) -> None:
        """Gives out what was touched, once however often; what is final is done with."""
        for decision in self._touched:
            self._set(decision, version=self._acts[decision].version + 1)
            self._news.append(self._acts[decision])
            if self._acts[decision].is_final:
                del self._acts[decision]
        self._touched = {}


def _kind(event: ControlEvent, state: SystemState) -> ActionKind:
    """What a launch is for: also where it is tried again on another host, which is decided as a launch."""
    container = state.containers.get(event.container)
    if container is not None and event.to_host:
        if container.replaces:
            return "move"
        if container.recovers:
            return "recover"
    return _KINDS[event.action]


def _region(host: str, state: SystemState) -> str:
    found = state.hosts.get(host)
    return "" if found is None else state.region_of(Coordinates(found.latitude, found.longitude))
