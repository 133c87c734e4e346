"""`decide`, and which kind of event leads where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from microservo.domain.geography import DemandWindow
from microservo.domain.manager import events, ownership, recovery
from microservo.domain.manager.actions import Action
from microservo.domain.manager.app_launches import go_on_with_all
from microservo.domain.manager.commands import receive, remember
from microservo.domain.manager.components import remove_components, settle_regions
from microservo.domain.manager.entities import entity_key, owned
from microservo.domain.manager.host_decisions import leave_failed
from microservo.domain.manager.indexes import Measured
from microservo.domain.manager.policies import begin_life, deployed_policy, follow_settings
from microservo.domain.manager.service_decisions import (
    settle,
    stop_with_databases,
    waits_for_database,
)
from microservo.domain.manager.state import SystemState
from microservo.domain.manager.step import Cause, Step

MIGRATION = "migration"
_RETRY_US = 5_000_000
_HOST_COLUMNS: Mapping[str, str] = {
    "cpu-%": "cpu_percent",
    "ram-available": "memory_available",
    "disk-available": "disk_available",
}
"""Column for placement by field; fields of the same name are rules' as well."""


def decide(state: SystemState, event: events.Event) -> tuple[Action, ...]:
    """What a manager is to do after an event; the state is changed in place.

    The same events give the same actions, to the last byte, whenever and wherever they are decided again.

    Example:
        >>> decide(SystemState(), events.TimePassed(now_us=0))
        ()
    """
    deployed_policy(state)
    step = Step(state, event.now_us)
    _HANDLERS[type(event)](step, event)
    follow_settings(step)
    if state.is_caught_up and state.unsettled:
        settle(step)
    if state.is_caught_up and state.unsettled_regions:
        settle_regions(step)
    return step.actions()


def _entity_changed(step: Step, event: events.EntityChanged) -> None:
    if event.entity is None:
        step.state.remove(event.key)
    else:
        step.state.put(owned(event.entity, event.owner), event.owner)
        if step.state.is_caught_up:
            ownership.entity_changed(step, event.key)


def _containers_measured(step: Step, event: events.ContainersMeasured) -> None:
    _record(step.state.of_containers, event)


def _hosts_measured(step: Step, event: events.HostsMeasured) -> None:
    _record(step.state.of_hosts, event)
    found = {
        column: event.columns[field].tolist()
        for field, column in _HOST_COLUMNS.items()
        if field in event.columns
    }
    for number, name in enumerate(event.names):
        values = {column: values[number] for column, values in found.items()}
        step.state.columns.measure(name, values, event.now_us)


def _record(measured: Measured, event: events.Measured) -> None:
    slots = [measured.metrics.slot_of(name) for name in event.names]
    known = np.array([slot is not None for slot in slots], np.bool_)
    where = np.array([slot for slot in slots if slot is not None], np.int64)
    at_us = np.full(len(where), event.now_us, np.int64)
    for field in sorted(event.columns):
        measured.metrics.add_field(field)
        measured.metrics.record(field, where, event.columns[field][known], at_us)
    measured.is_news = measured.is_news or len(where) > 0


def _services_scored(step: Step, event: events.ServicesScored) -> None:
    measured = step.state.of_containers
    values = measured.membership.spread(event.by_service, len(measured.metrics))
    where = np.flatnonzero(~np.isnan(values) & (measured.metrics.serial > 0))
    measured.metrics.add_field(event.field)
    at_us = np.full(len(where), event.now_us, np.int64)
    measured.metrics.record(event.field, where, values[where], at_us)
    measured.is_news = measured.is_news or len(where) > 0


def _locations_seen(step: Step, event: events.LocationsSeen) -> None:
    window = step.state.demand.get(event.service)
    if window is None:
        window = DemandWindow(window_us=step.state.settings.demand_window_us)
        step.state.demand[event.service] = window
    window.add(event.counts, now_us=event.now_us)


def _container_started(step: Step, event: events.ContainerStarted) -> None:
    recovery.started(step, event.container, event.ports)
    go_on_with_all(step)


def _stop_failed(step: Step, event: events.StopFailed) -> None:
    container = step.state.containers.get(event.container)
    if container is not None and container.state == "stopping" and step.state.manages(container):
        step.report(
            entity_key(container),
            "stop",
            Cause(reason=event.reason),
            state="failed",
            service=container.service,
            container=container.name,
            from_host=container.host,
        )
        step.change(container, state="running")


def _time_passed(step: Step, event: events.TimePassed) -> None:
    state = step.state
    if not state.is_caught_up:
        return
    ownership.look_for_silence(step)
    for name in [name for name, due_us in state.deadlines.items() if due_us <= event.now_us]:
        recovery.launch_failed(step, name, "it did not start in time")
        state.deadlines.pop(name, None)
    for pending in sorted(state.pending.values(), key=lambda each: (each.due_us, each.name)):
        if pending.due_us > event.now_us:
            break
        if pending.task == "stop":
            if not _stop_replaced(step, pending.subject):
                continue
            step.remove(entity_key(pending))
        elif pending.task == "remove-components" and state.is_own(entity_key(pending)):
            remove_components(step, pending)
    for prediction in state.predictions.values():
        if state.ticked_us < prediction.start_us <= event.now_us:
            state.unsettled[prediction.service] = None
    state.ticked_us = event.now_us
    if event.now_us >= state.retries.due_us:
        state.retries.due_us = event.now_us + _RETRY_US
        state.unsettled.update(state.retries.services)
        state.unsettled_regions.update(state.retries.regions)
        state.retries.services, state.retries.regions = {}, {}
        if step.policy.recovers:
            recovery.recover_homeless(step)
    if event.now_us >= state.evaluated_us + state.settings.evaluation_us:
        step.policy.evaluate(step)


def _stop_replaced(step: Step, name: str) -> bool:
    """Stops a container that was replaced, unless its replacement can't serve yet; whether it did."""
    state = step.state
    container = state.containers.get(name)
    if container is None:
        return True
    new = state.replaced_by.get(name, "")
    if new in state.containers and waits_for_database(step, state.containers[new]):
        return False
    cause = Cause(rule=MIGRATION, reason=f"{new or 'its replacement'} runs in its place")
    stop_with_databases(step, container, cause)
    return True


_HANDLERS: Mapping[type[events.Event], Callable[[Step, Any], None]] = {
    events.LifeBegan: lambda step, event: begin_life(step, event.policy, event.seed),
    events.EntityChanged: _entity_changed,
    events.CommandsKnown: lambda step, event: remember(step, event.command_ids),
    events.CaughtUp: lambda step, event: ownership.caught_up(step),
    events.ContainersMeasured: _containers_measured,
    events.HostsMeasured: _hosts_measured,
    events.ServicesScored: _services_scored,
    events.LocationsSeen: _locations_seen,
    events.ContainerStarted: _container_started,
    events.ContainerEnded: lambda step, event: recovery.ended(step, event.container, event.reason),
    events.ContainerStopped: lambda step, event: recovery.ended(step, event.container, ""),
    events.LaunchFailed: lambda step, event: recovery.launch_failed(step, event.container, event.reason),
    events.StopFailed: _stop_failed,
    events.ContainersFound: lambda step, event: recovery.found(step, event.host, event.running),
    events.OrphanFound: lambda step, event: recovery.orphan_found(step, event.container, event.host),
    events.LeaveFailed: lambda step, event: leave_failed(step, event.host, event.reason),
    events.HostUp: lambda step, event: recovery.host_up(step, event.host, event.shares),
    events.HostDown: lambda step, event: recovery.hosts_down(step, (event.host,), event.reason),
    events.HostsDown: lambda step, event: recovery.hosts_down(step, event.names, event.reason),
    events.HostJoined: lambda step, event: recovery.host_joined(step, event.host),
    events.InstanceLaunched: lambda step, event: recovery.instance_launched(
        step, event.host, event.container
    ),
    events.Heartbeat: lambda step, event: ownership.heard(step, event.name, event.running),
    events.CommandGiven: lambda step, event: receive(step, event.command),
    events.Ending: lambda step, event: recovery.stop_all(step),
    events.TimePassed: _time_passed,
}
