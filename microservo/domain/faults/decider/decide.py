"""`decide`, and which kind of event leads where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from microservo.domain.faults.decider import acting, events
from microservo.domain.faults.decider.actions import Action, Release, Warn
from microservo.domain.faults.decider.judging import judged, verdict_overdue
from microservo.domain.faults.decider.requests import receive
from microservo.domain.faults.decider.restart import request_missing, restore
from microservo.domain.faults.decider.state import InjectorState, OpenFault
from microservo.domain.faults.decider.step import Step

SHUT_DOWN = "injector shut down"
_RELEASE_ATTEMPTS = 20
_RELEASE_PAUSE_US = 1_000_000


def decide(state: InjectorState, event: events.Event) -> tuple[InjectorState, tuple[Action, ...]]:
    """What the injector knows after an event, and what it is to do.

    Example:
        >>> state = InjectorState(run_id="run-1")
        >>> decide(state, events.ShutDown(now_us=0))[1]
        ()
    """
    step = Step(state, event.now_us)
    _HANDLERS[type(event)](step, event)
    return step.state, step.actions()


def _restarted(step: Step, event: events.Restarted) -> None:
    for known in event.faults:
        restore(step, known)


def _timer_due(step: Step, event: events.TimerDue) -> None:
    fault = step.state.open.get(event.timer.fault_id)
    if fault is None:
        return
    if event.timer.task == "verdict":
        verdict_overdue(step, fault)
    elif fault.status.is_over:
        return
    elif event.timer.task == "apply":
        acting.apply_due(step, fault)
    elif event.timer.task == "recover":
        acting.recover(step, fault, event.timer.instance)
    elif event.timer.task == "count":
        acting.count(step, fault, event.timer.instance)
    elif event.timer.task == "retry":
        acting.retry(step, fault, event.timer.instance)
    else:
        request_missing(step, fault)


def _of_instance(handle: Callable[[Step, OpenFault, Any], None]) -> Callable[[Step, Any], None]:
    def handler(step: Step, event: events.OfInstance) -> None:
        fault = step.state.open.get(event.fault_id)
        if fault is not None:
            handle(step, fault, event)

    return handler


def _release_unanswered(step: Step, event: events.ReleaseUnanswered) -> None:
    if event.attempts < _RELEASE_ATTEMPTS:
        at_us = step.now_us + _RELEASE_PAUSE_US
        step.do(Release(instance=event.instance, attempts=event.attempts, at_us=at_us))
    else:
        step.do(Warn(text=f"{event.instance} gives no answer, so what is in force on it stays in force"))


def _instance_changed(step: Step, event: events.InstanceChanged) -> None:
    instance, down = event.instance, step.state.down
    # What is gone for good, as a pod that was killed, is not down: nothing will say that it is up again.
    is_gone = step.state.target is not None and instance not in step.state.target.instances
    is_down = not event.is_up and not is_gone
    step.state = replace(step.state, down=down | {instance} if is_down else down - {instance})
    if not event.is_up:
        return
    for fault in list(step.state.open.values()):
        if instance in fault.status.instances and fault.fault is not None:
            acting.instance_up(step, fault, instance)


def _target_seen(step: Step, event: events.TargetSeen) -> None:
    known, there = step.state.released, event.target.instances
    step.state = replace(step.state, target=event.target, down=event.target.down, released=known | there)
    for instance in sorted(there - known):
        step.do(Release(instance=instance, at_us=step.now_us))
    for fault_id, instance in _recovering(step.state):
        fault = step.state.open[fault_id]
        # Nothing will say that it is up again; a mechanism knows that nothing is in force on it.
        if instance not in there and instance not in fault.under_way:
            acting.recover_now(step, fault, instance)


def _recovering(state: InjectorState) -> list[tuple[str, str]]:
    """Fault ids and instances."""
    return [
        (fault.id, instance)
        for fault in state.open.values()
        for instance in fault.status.instances
        if fault.status.state(instance) == "recovering"
    ]


def _graph_seen(step: Step, event: events.GraphSeen) -> None:
    step.state = replace(step.state, graph=step.state.graph.with_graph(event.graph))
    for fault in list(step.state.open.values()):
        acting.graph_seen(step, fault, event.graph.start_us)


def _target_gone(step: Step, event: events.TargetGone) -> None:
    step.state = replace(step.state, target=None, problem=event.problem)


def _shut_down(step: Step, event: events.ShutDown) -> None:
    for fault in list(step.state.open.values()):
        if not fault.status.is_over and fault.fault is not None:
            acting.end(step, fault, SHUT_DOWN)


_HANDLERS: Mapping[type[events.Event], Callable[[Step, Any], None]] = {
    events.Restarted: _restarted,
    events.RequestReceived: lambda step, event: receive(step, event.request),
    events.TimerDue: _timer_due,
    events.ApplyConfirmed: _of_instance(acting.apply_confirmed),
    events.ApplyRefused: _of_instance(acting.apply_refused),
    events.ApplyUnanswered: _of_instance(acting.apply_unanswered),
    events.RecoveryConfirmed: _of_instance(acting.recovery_confirmed),
    events.RecoveryUnanswered: _of_instance(acting.recovery_unanswered),
    events.Checked: _of_instance(acting.checked),
    events.Counted: _of_instance(acting.counted),
    events.ReleaseUnanswered: _release_unanswered,
    events.InstanceChanged: _instance_changed,
    events.TargetSeen: _target_seen,
    events.TargetGone: _target_gone,
    events.GraphSeen: _graph_seen,
    events.Judged: lambda step, event: judged(step, event.verdict),
    events.ShutDown: _shut_down,
}
