"""Putting faults in force and out of force, and what came of it.

::

    apply due ─► applying ─► Apply ─► confirmed ─► active ─► due ─► recovering ─► Recover ─► confirmed
                    ▲          │                    │  ▲              ▲              │
                    └── pause ─┴ unanswered         ▼  │              └────── pause ─┴ unanswered
                                         instance up: Check, Apply
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from microservo.domain.faults.decider import events
from microservo.domain.faults.decider.actions import Apply, Check, Observe, ObserveRecovery, Recover, Warn
from microservo.domain.faults.decider.state import ClosedFault, OpenFault
from microservo.domain.faults.decider.step import Step
from microservo.domain.faults.lifecycle import WHOLE

APPLY_WITHIN_US = 5_000_000
"""How long a silent instance is asked again to apply, before the fault counts as failed."""
RESTARTED = "the injector restarted before it was applied"


def apply_due(step: Step, fault: OpenFault) -> None:
    """Begins to apply a fault, and settles once and for all whom it concerns."""
    if fault.status.instances or fault.status.is_over:
        return
    fault = fix_affected(step, fault)
    for instance in fault.instances:
        fault = step.advance(fault, instance, "applying", apply_commanded_at_us=step.now_us)
        fault = _apply(step, fault, instance)


def fix_affected(step: Step, fault: OpenFault) -> OpenFault:
    """The fault with the services that it concerns, by what is known now unless that was settled before."""
    if fault.affected and fault.status.instances:
        return fault
    # An earlier process may have been killed when it had written to some of them.
    given = {each.service for each in fault.affected}
    now = step.state.affected(fault.status.whole.service)
    affected = (*fault.affected, *(each for each in now if each.service not in given))
    return step.put(replace(fault, affected=tuple(sorted(affected, key=lambda each: each.hops))))


def end(step: Step, fault: OpenFault, reason: str) -> None:
    """Ends a fault before its time."""
    for instance in fault.instances if fault.status.instances else ():
        fault = recover(step, fault, instance, reason)
    if not fault.status.instances:
        fault = step.advance(fault, WHOLE, "stopped", reason=reason, verdict="inconclusive")
        close(step, fault)


def recover(step: Step, fault: OpenFault, instance: str, reason: str = "") -> OpenFault:
    """Begins recovery; while something is under way on the instance, as soon as that is over."""
    if fault.status.state(instance) not in ("applying", "active"):
        return fault
    if instance in fault.under_way:
        return step.put(replace(fault, ending={instance: reason, **fault.ending}))
    changes: dict[str, Any] = {"reason": reason} if reason else {}
    fault = step.advance(fault, instance, "recovering", recovery_commanded_at_us=step.now_us, **changes)
    return recover_now(step, fault.with_attempts(instance, 0), instance)


def recover_now(step: Step, fault: OpenFault, instance: str) -> OpenFault:
    """Tries a recovery that is published already."""
    step.do(Recover(fault_id=fault.id, instance=instance, wire=fault.fault.wire()))
    return step.put(fault.acting(instance))


def check(step: Step, fault: OpenFault, instance: str) -> OpenFault:
    """Asks an instance whether the fault is in force."""
    if instance in fault.checking or instance in fault.under_way:
        return fault
    step.do(Check(fault_id=fault.id, instance=instance, wire=fault.fault.wire()))
    return step.put(replace(fault, checking=fault.checking | {instance}))


def retry(step: Step, fault: OpenFault, instance: str) -> None:
    """Tries again what was not answered."""
    if instance in fault.under_way:
        return
    state = fault.status.state(instance)
    if state == "applying":
        _apply(step, fault, instance)
    elif state == "recovering":
        recover_now(step, fault, instance)
    elif state == "active":
        check(step, fault, instance)


def apply_confirmed(step: Step, fault: OpenFault, event: events.ApplyConfirmed) -> None:
    """The fault is in force: from now on it is watched, and ends when it is due."""
    _in_force(step, fault.answered(event.instance), event.instance, event.at_us, event.evidence)


def apply_refused(step: Step, fault: OpenFault, event: events.ApplyRefused) -> None:
    """What can't be applied is undone, and has failed."""
    _not_applied(step, fault.answered(event.instance), event.instance, event.problem)


def apply_unanswered(step: Step, fault: OpenFault, event: events.ApplyUnanswered) -> None:
    """A silent instance is asked again for a while; one that had the fault already, until it is due."""
    instance = event.instance
    fault = fault.answered(instance)
    commanded_us = fault.event(instance).apply_commanded_at_us or step.now_us
    is_patient = fault.status.state(instance) == "active" or step.now_us < commanded_us + APPLY_WITHIN_US
    if is_patient and instance not in fault.ending:
        _pause(step, fault, instance)
    else:
        _not_applied(step, fault, instance, event.problem)


def recovery_confirmed(step: Step, fault: OpenFault, event: events.RecoveryConfirmed) -> None:
    """The fault is out of force on one instance, and over if it is the last."""
    fault, instance = fault.answered(event.instance), event.instance
    changes: dict[str, Any] = {"recovered_at_us": event.at_us, "evidence": event.evidence}
    if fault.event(instance).applied_at_us is None:
        changes["verdict"] = "inconclusive"
    state = fault.last_state(instance)
    fault = step.advance(fault, instance, state, confirmed_at_us=event.at_us, **changes)
    if fault.status.is_over:
        over(step, fault)


def recovery_unanswered(step: Step, fault: OpenFault, event: events.RecoveryUnanswered) -> None:
    """Asked again after a pause; an instance that is down is asked when it is up again."""
    fault = fault.answered(event.instance)
    if event.instance in step.state.down:
        step.put(fault)
    else:
        _pause(step, fault, event.instance)


def checked(step: Step, fault: OpenFault, event: events.Checked) -> None:
    """What an instance has lost is applied again."""
    instance = event.instance
    fault = step.put(replace(fault, checking=fault.checking - {instance}))
    if instance in fault.under_way:
        return
    state = fault.status.state(instance)
    if state == "applying":
        _found_applying(step, fault, instance, holds=event.holds)
    elif state == "active" and event.holds is None and instance not in step.state.down:
        _pause(step, fault, instance)
    elif state == "active" and event.holds is False:
        step.do(Warn(text=f"fault {fault.id} is no longer in force on {instance}; applying it again"))
        _apply(step, fault, instance)


def instance_up(step: Step, fault: OpenFault, instance: str) -> None:
    """What was started anew has lost what it held, and can answer again."""
    state = fault.status.state(instance)
    fault = fault.with_attempts(instance, 0)
    if state in ("applying", "active") and instance in fault.under_way:
        step.put(replace(fault, restarted=fault.restarted | {instance}))
    elif state == "active" and not fault.fault.one_shot:
        # An answer that is on its way may be that of the process before.
        check(step, replace(fault, checking=fault.checking - {instance}), instance)
    elif state == "recovering" and instance not in fault.under_way:
        recover_now(step, fault, instance)


def watch_effect(step: Step, fault: OpenFault) -> None:
    """Lets the observer look for the effect of a fault that was in force."""
    applied_us = fault.status.times()["applied_at_us"]
    if applied_us is not None:
        step.do(
            Observe(
                fault_id=fault.id,
                service=fault.status.whole.service,
                expectations=fault.fault.expectations(),
                applied_at_us=applied_us,
            )
        )


def over(step: Step, fault: OpenFault) -> None:
    """A fault is over; one that was never in force has no effect to wait for."""
    times = fault.status.times()
    if times["applied_at_us"] is None or times["recovered_at_us"] is None:
        close(step, fault)
    else:
        step.do(ObserveRecovery(fault_id=fault.id, recovered_at_us=times["recovered_at_us"]))


def close(step: Step, fault: OpenFault) -> None:
    """Nothing more will come of a fault."""
    step.close(fault.id, ClosedFault(status=fault.status, request=fault.request))


def expect_end(step: Step, fault: OpenFault, instance: str) -> None:
    """Plans the recovery of an instance on which the fault is in force."""
    step.schedule(fault.due_at_us(instance), "recover", fault.id, instance)


def _apply(step: Step, fault: OpenFault, instance: str) -> OpenFault:
    step.do(Apply(fault_id=fault.id, instance=instance, wire=fault.fault.wire()))
    return step.put(fault.acting(instance))


def _in_force(step: Step, fault: OpenFault, instance: str, at_us: int, evidence: str) -> None:
    before = fault.event(instance)
    is_first = before.applied_at_us is None
    fault = step.advance(
        fault.with_attempts(instance, 0),
        instance,
        "active",
        confirmed_at_us=at_us,
        applied_at_us=at_us if is_first else before.applied_at_us,
        evidence=evidence if is_first else f"applied again, as it was no longer in force: {evidence}",
    )
    watch_effect(step, fault)
    if instance in fault.ending:
        recover(step, _without_ending(fault, instance), instance, fault.ending[instance])
        return
    if is_first:
        expect_end(step, fault, instance)
    if instance in fault.restarted and not fault.fault.one_shot:
        check(step, replace(fault, restarted=fault.restarted - {instance}), instance)


def _not_applied(step: Step, fault: OpenFault, instance: str, problem: str) -> None:
    again = " again, after the instance had lost it" if fault.status.state(instance) == "active" else ""
    reason = fault.ending.get(instance, f"could not be applied{again}: {problem}")
    recover(step, _without_ending(fault, instance), instance, reason)


def _found_applying(step: Step, fault: OpenFault, instance: str, *, holds: bool | None) -> None:
    """After a restart: an earlier process was about to apply it, and may have done so."""
    if holds:
        _in_force(step, fault, instance, step.now_us, "found in force after a restart of the injector")
    else:
        recover(step, fault, instance, RESTARTED)


def _pause(step: Step, fault: OpenFault, instance: str) -> None:
    fault = step.put(fault.with_attempts(instance, fault.attempts.get(instance, 0) + 1))
    step.schedule(step.now_us + fault.pause_us(instance), "retry", fault.id, instance)


def _without_ending(fault: OpenFault, instance: str) -> OpenFault:
    kept = {name: reason for name, reason in fault.ending.items() if name != instance}
    return replace(fault, ending=kept)
