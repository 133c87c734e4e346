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
from microservo.domain.faults.decider.actions import Apply, Check, Count, Recover, Warn
from microservo.domain.faults.decider.judging import close, over
from microservo.domain.faults.decider.state import OpenFault
from microservo.domain.faults.decider.step import Step
from microservo.domain.faults.lifecycle import WHOLE, ExposedService
from microservo.domain.graph import place
from schemas.records import FaultEvent

_AGAIN = "; applied again, as it was no longer in force: "
APPLY_WITHIN_US = 5_000_000
"""How long a silent instance is asked again to apply, before the fault counts as failed."""
COUNT_EVERY_US = 1_000_000
"""How often it is asked on how many things a fault in force has acted."""
_COUNT_PUBLISHED_US = 5_000_000
"""After that time a count that has doubled is published; the first that is not 0, at once."""
RESTARTED = "the injector restarted before it was applied"


def apply_due(step: Step, fault: OpenFault) -> None:
    """Begins to apply a fault, and settles who is exposed to it as far as is known by then."""
    if fault.status.instances or fault.status.is_over:
        return
    fault = settle_exposed(step, fault)
    for instance in fault.instances:
        fault = step.advance(fault, instance, "applying", apply_commanded_at_us=step.now_us)
        fault = _apply(step, fault, instance)


def settle_exposed(step: Step, fault: OpenFault) -> OpenFault:
    """The fault with the services that are exposed to it by what is known now, unless that was settled."""
    if fault.exposed and fault.status.instances:
        return fault
    # An earlier process may have been killed when it had written to some of them.
    exposed = (*fault.exposed, *_not_yet_exposed(step, fault))
    return step.put(replace(fault, exposed=tuple(sorted(exposed, key=place))))


def graph_seen(step: Step, fault: OpenFault, from_us: int) -> None:
    """Who was first seen in calls while a fault was in force, `from_us` on, is exposed to it too.

    Nobody is taken away, and nobody's relation changes: an observer that has begun to look would have to
    choose anew what for.
    """
    times = fault.status.times()
    over_us = times["recovered_at_us"]
    if times["applied_at_us"] is not None and (over_us is None or from_us < over_us):
        added = _not_yet_exposed(step, fault)
        if added:
            step.expose(fault, added)


def _not_yet_exposed(step: Step, fault: OpenFault) -> list[ExposedService]:
    known = {each.service for each in fault.exposed}
    return [each for each in step.state.exposed(fault) if each.service not in known]


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
    step.do(Recover(fault_id=fault.id, instance=instance, wire=fault.wire))
    return step.put(fault.acting(instance))


def check(step: Step, fault: OpenFault, instance: str) -> OpenFault:
    """Asks an instance whether the fault is in force."""
    if instance in fault.checking or instance in fault.under_way:
        return fault
    step.do(Check(fault_id=fault.id, instance=instance, wire=fault.wire))
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
    """The fault is in force, and ends when it is due."""
    _in_force(step, fault.answered(event.instance), event)


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
    changes: dict[str, Any] = {
        "recovered_at_us": event.at_us,
        "recovered_within_us": event.within_us,
        "recovery_evidence": event.evidence,
    }
    if event.acted is not None:
        # An instance that was started anew meanwhile has counted anew.
        changes["acted"] = max(event.acted, fault.event(instance).acted or 0)
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
    elif state == "active" and fault.lasts:
        # An answer that is on its way may be that of the process before.
        check(step, replace(fault, checking=fault.checking - {instance}), instance)
    elif state == "recovering" and instance not in fault.under_way:
        recover_now(step, fault, instance)


def expect_end(step: Step, fault: OpenFault, instance: str) -> None:
    """Plans the recovery of an instance on which the fault is in force, and what is asked until then."""
    step.schedule(fault.due_at_us(instance), "recover", fault.id, instance)
    if fault.lasts and fault.event(instance).acted is not None:
        step.schedule(step.now_us + COUNT_EVERY_US, "count", fault.id, instance)


def count(step: Step, fault: OpenFault, instance: str) -> None:
    """Asks on how many things a fault has acted, as long as it is in force."""
    if fault.status.state(instance) == "active":
        step.do(Count(fault_id=fault.id, instance=instance, wire=fault.wire))


def counted(step: Step, fault: OpenFault, event: events.Counted) -> None:
    """Publishes that a fault has begun to act, and now and then how often it has."""
    instance = event.instance
    if fault.status.state(instance) != "active":
        return
    known, acted = fault.event(instance), event.acted or 0
    is_due = step.now_us >= known.at_us + _COUNT_PUBLISHED_US and acted >= 2 * (known.acted or 0)
    if acted > 0 and (not known.acted or is_due):
        fault = step.advance(fault, instance, "active", acted=acted)
    step.schedule(step.now_us + COUNT_EVERY_US, "count", fault.id, instance)


def _apply(step: Step, fault: OpenFault, instance: str) -> OpenFault:
    step.do(Apply(fault_id=fault.id, instance=instance, wire=fault.wire))
    return step.put(fault.acting(instance))


def _in_force(step: Step, fault: OpenFault, event: events.ApplyConfirmed) -> None:
    instance = event.instance
    is_first = fault.event(instance).applied_at_us is None
    fault = step.advance(
        fault.with_attempts(instance, 0),
        instance,
        "active",
        confirmed_at_us=event.at_us,
        **(_applied(event) if is_first else _applied_again(fault.event(instance), event)),
    )
    if instance in fault.ending:
        recover(step, _without_ending(fault, instance), instance, fault.ending[instance])
        return
    if is_first:
        expect_end(step, fault, instance)
    if instance in fault.restarted and fault.lasts:
        check(step, replace(fault, restarted=fault.restarted - {instance}), instance)


def _applied(event: events.ApplyConfirmed) -> dict[str, Any]:
    return {
        "applied_at_us": event.at_us,
        "applied_within_us": event.within_us,
        "acted": event.acted,
        "apply_evidence": event.evidence,
    }


def _applied_again(before: FaultEvent, event: events.ApplyConfirmed) -> dict[str, Any]:
    first = before.apply_evidence.partition(_AGAIN)[0]
    return {"apply_evidence": f"{first}{_AGAIN}{event.evidence}"}


def _not_applied(step: Step, fault: OpenFault, instance: str, problem: str) -> None:
    again = " again, after the instance had lost it" if fault.status.state(instance) == "active" else ""
    reason = fault.ending.get(instance, f"could not be applied{again}: {problem}")
    recover(step, _without_ending(fault, instance), instance, reason)


def _found_applying(step: Step, fault: OpenFault, instance: str, *, holds: bool | None) -> None:
    """After a restart: an earlier process was about to apply it, and may have done so."""
    if holds:
        commanded_us = fault.event(instance).apply_commanded_at_us
        found = events.ApplyConfirmed(
            now_us=step.now_us,
            fault_id=fault.id,
            instance=instance,
            at_us=step.now_us,
            within_us=None if commanded_us is None else step.now_us - commanded_us,
            evidence="found in force after a restart of the injector",
        )
        _in_force(step, fault, found)
    else:
        recover(step, fault, instance, RESTARTED)


def _pause(step: Step, fault: OpenFault, instance: str) -> None:
    fault = step.put(fault.with_attempts(instance, fault.attempts.get(instance, 0) + 1))
    step.schedule(step.now_us + fault.pause_us(instance), "retry", fault.id, instance)


def _without_ending(fault: OpenFault, instance: str) -> OpenFault:
    kept = {name: reason for name, reason in fault.ending.items() if name != instance}
    return replace(fault, ending=kept)
